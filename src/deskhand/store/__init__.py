"""What is kept on disk: the hub's log and tables, blobs, the home directory. The only SQL of Deskhand is here."""
