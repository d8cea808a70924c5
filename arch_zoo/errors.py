"""The exceptions that are meant for the person at the terminal."""

import errno
import re


class UserError(Exception):
    """Something the user can put right: one line saying what is wrong, where, and what would be right.

    Programs print it as one line and exit with a non-zero status; anything else is a defect and keeps its traceback.
    """


class NotFinite(UserError):
    """A loss or a gradient is infinite or not a number."""


class Interrupted(Exception):
    """The person asked to stop; the message says what was saved and how to go on."""


TURN = ("lower batch_size or data.length, raise accumulate, or set model.remat=True; python -m experiments.train "
        "--plan with the same flags says what fits")  # of a training


# What a device says: CUDA's driver, its libraries, or XLA, whose RESOURCE_EXHAUSTED may also mean something else.
_DEVICE_IS_FULL = re.compile(r"CUDA_ERROR_OUT_OF_MEMORY|(CUDNN|CUBLAS)_STATUS_ALLOC_FAILED|"
                             r"^(?=.*(?i:memory|allocat)).*RESOURCE_EXHAUSTED", re.DOTALL)


def out_of_memory(error: BaseException, turn: str = TURN) -> str | None:
    """The one line for an error that says that memory ran out, of the device or of the machine; None for any other.

    `turn`: what the person can change.
    """
    text = str(error)
    if not isinstance(error, MemoryError) and getattr(error, "errno", None) != errno.ENOMEM and \
            not _DEVICE_IS_FULL.search(text):
        return None
    size = re.search(r"(\d[\d.,]* ?(?:bytes|[KMGT]i?B))", text)
    return f"out of memory{f' ({size[1]} could not be had)' if size else ''}: {turn}"
