"""The exceptions that are meant for the person at the terminal."""


class UserError(Exception):
    """Something the user can put right: one line saying what is wrong, where, and what would be right.

    Programs print it as one line and exit with a non-zero status; anything else is a defect and keeps its traceback.
    """


class NotFinite(UserError):
    """A loss or a gradient is infinite or not a number."""


class Interrupted(Exception):
    """The person asked to stop; the message says what was saved and how to go on."""
