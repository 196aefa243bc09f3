"""Shell completion: what may stand where the cursor is, from the command line's own table."""
