"""What of this machine the process may use."""

import os


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on; where the system cannot tell, of all there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
