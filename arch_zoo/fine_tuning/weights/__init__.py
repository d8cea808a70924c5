"""Which of a model's weights learn: all of them, none, or what is added to them; each in a file."""
