"""Ways to compute attention: one file each, all of them equal but for the order of summation."""
