"""Ways to answer: by a linear head on states, or in words; each in a file."""
