"""Taking back what a task did to files: what was there is kept before it changes, and put back byte for byte."""
