"""A trained model learns a task from labelled texts: what it is given, what of it learns, how it answers."""
