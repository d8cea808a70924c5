"""One yardstick for all families."""
