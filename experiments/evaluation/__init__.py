"""What the evaluation of a run is asked, and how its results are written and shown."""
