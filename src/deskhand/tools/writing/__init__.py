"""What models write as documents: from markdown and rows to the files that people open."""
