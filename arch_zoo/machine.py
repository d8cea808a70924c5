"""What of this machine the process may use."""

import ctypes
import os
import sys


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on; where the system cannot tell, of all there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def give_back_memory() -> None:
    """Memory that was freed, but that malloc keeps for later, goes back to the system: after compiling, hundreds of MB.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)
