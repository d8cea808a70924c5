"""Texts with labels: what a task is, which there are, where their examples are read from."""
