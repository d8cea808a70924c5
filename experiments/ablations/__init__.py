"""Published ablations by name: where their definitions lie, the data they find, and the sizes they come in."""
