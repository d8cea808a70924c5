"""A study: named arms that differ in what they are declared to differ in, and in nothing else."""
