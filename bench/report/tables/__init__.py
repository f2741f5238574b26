"""Tables: one file each, listed in `write.Tables`."""
