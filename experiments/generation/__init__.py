"""What the programs that write text share."""
