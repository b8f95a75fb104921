"""The exercises, by what they are about; each makes its own files and knows how a right result looks."""
