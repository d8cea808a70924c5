"""The one exception that is meant for the person at the terminal."""


class UserError(Exception):
    """Something the user can put right: one line saying what is wrong, where, and what would be right.

    Programs print it as one line and exit with a non-zero status; anything else is a defect and keeps its traceback.
    """
