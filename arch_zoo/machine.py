"""What of this machine the process may use."""

import contextlib
import ctypes
import os
import pathlib
import resource
import sys
from collections.abc import Iterable
from typing import Any

_XLA_THREAD = "tf_XLAEigen"  # the system's name of one, which it cuts after 15 letters


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may run on; where the system cannot tell, of all there are."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def xla_threads() -> int | None:
    """The threads with which XLA computes on the CPU in this process; None where the system does not tell.

    XLA takes as many as cores that the process may use when JAX starts, or NPROC, and no fewer than simulated devices.
    """
    names = []
    for thread in pathlib.Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it may have ended meanwhile
            names.append(thread.read_text().strip())
    return names.count(_XLA_THREAD) or None


def free_memory() -> tuple[int, str] | None:
    """(bytes that this process could still take, what says so); None where the system does not tell.

    The system's own figure, or what the process's control group leaves of its limit where that is less.
    """
    try:
        lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
        fields = dict(line.split(":", 1) for line in lines)
        free = int(fields["MemAvailable"].split()[0]) * 1024, "the system has free"
    except (OSError, KeyError, ValueError):
        return None
    group = _group_memory()
    return free if group is None or group >= free[0] else (group, "the control group leaves")


def _group_memory(root: pathlib.Path = pathlib.Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that the control group of a container leaves, its file cache counted as free; None without a limit."""
    for folder, limit, used, cache in ((root, "memory.max", "memory.current", "inactive_file"),
                                       (root / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                        "total_inactive_file")):
        try:
            most, taken = (int((folder / name).read_text()) for name in (limit, used))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return most - taken + int(stat.get(cache, 0))
    return None


def give_back_memory() -> None:
    """Memory that was freed, but that malloc keeps for later, goes back to the system: after compiling, hundreds of MB.
    """
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        if trim is not None:
            trim(0)


def forget_peak_memory() -> None:
    """The peak of the memory that this process has of the system counts anew from here on, where that can be done."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_memory(devices: Iterable[Any] = ()) -> int:
    """The most bytes that this process has held at once, since `forget_peak_memory` where that could be done.

    Where JAX computes on `devices` with memory of their own, it is of theirs, on the one that held most, and since the
    process began.
    """
    stats = [device.memory_stats() for device in devices if device.platform != "cpu"]
    if found := [of_one["peak_bytes_in_use"] for of_one in stats if of_one and "peak_bytes_in_use" in of_one]:
        return max(found)
    with contextlib.suppress(OSError, StopIteration):
        lines = pathlib.Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    # What was started, and not only forked, has the peak of who started it in this one.
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
