"""Settings of the process environment that make XLA faster on CPU; they must be there before a process starts."""

import os
import sys

from absl import flags

FAST = flags.DEFINE_bool("fast_environment", True, "start anew with what makes XLA fast on a CPU, as far as "
                                                   "XLA_FLAGS and GLIBC_TUNABLES do not say otherwise")

_FROM_HEAP = 32 << 20  # bytes: allocations below this come from the heap, which keeps its pages; glibc takes no more
_KEPT = 8 << 30        # bytes of the heap that may lie idle
_SWITCH = "ARCH_ZOO_FAST_ENVIRONMENT"  # "0" tells processes that this one starts, too


def fast_environment() -> dict[str, str]:
    """The environment for a process that runs JAX on CPU; what the user has set goes before what is set here.

    With --nofast_environment it is the one that is there.

    Wide vectors for loops over elements, and huge pages for the large arrays that XLA allocates and frees each step
    (measured in benchmarks/NOTES.md). Threads need no setting: XLA has as many as the process may use cores.
    """
    if os.environ.get(_SWITCH) == "0":
        return dict(os.environ)
    ours = {"GLIBC_TUNABLES": f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold={_FROM_HEAP}:"
                              f"glibc.malloc.trim_threshold={_KEPT}",
            "TF_CPP_MIN_LOG_LEVEL": "2"}
    flags = os.environ.get("XLA_FLAGS", "")
    wide = flags if "xla_cpu_prefer_vector_width" in flags else f"--xla_cpu_prefer_vector_width=512 {flags}".strip()
    return {**ours, **os.environ, "XLA_FLAGS": wide}


def heed_flag() -> None:
    """Let --nofast_environment be known here and in the processes that this one starts."""
    if not FAST.value:
        os.environ[_SWITCH] = "0"


def restart_in_fast_environment() -> None:
    """Replace this process by the same command under `fast_environment`, unless it runs there already.

    What is imported until then is imported twice: programs let `program.run` do this once their flags are read.
    """
    heed_flag()
    wanted = fast_environment()
    if wanted != dict(os.environ):
        sys.stdout.flush()
        os.execve(sys.executable, sys.orig_argv, wanted)
