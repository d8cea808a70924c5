"""Corpora that are made, not read: text of a grammar whose entropy is known, and pairs that follow a rule."""
