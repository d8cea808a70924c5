"""Measurements: each is a program that prints one table, with the versions and the device it was made on."""
