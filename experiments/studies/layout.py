"""Names of the files in the directory of a study and of its cells; a run's own are in arch_zoo.training.layout."""

STUDY_FILE = "study.json"    # what was planned
CELL_FILE = "cell.json"      # what a cell is to run
TRAINING_FILE = "training.json"  # what its training gave, before anything is measured
LOG_FILE = "cell.log"        # all that its process printed
FAILED_FILE = "failed.json"  # why it failed, where it did
TAKEN_FILE = ".taken"        # locked by whoever runs the cell or has it waiting: no other runner starts it
