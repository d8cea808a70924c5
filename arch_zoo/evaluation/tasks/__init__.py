"""Tasks, one a file; each registers itself when this package is loaded by the registry."""
