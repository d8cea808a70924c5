"""Run experiments.train until a chosen moment, and let something go wrong there.

    python -m tests.stop_at SIGKILL "os.rename checkpoints/16.orbax-checkpoint-tmp" -- --config.…

What goes wrong is a signal to the process; "SIGALRM 0.2": so many seconds later, whatever it does then, a kill;
ENOSPC: from that moment on the disk is full; or ENOMEM: from then on the process gets one GiB more and no further
memory. A moment is one or more
"EVENT TEXT", to be passed in this order: an audit event of Python whose first argument ends in TEXT, or one of our own:
"step 11" when the batch of the eleventh step of this process is asked for, "evaluation 4" when the fourth batch of
evaluations is.
"""

import errno
import itertools
import os
import pathlib
import resource
import signal
import sys

from arch_zoo.config import RunConfig
from experiments import program, train


def stop_at(moment: list[str], what: str) -> None:
    """Let `what` happen when the last of the events is about to happen."""
    waiting = [event.partition(" ") for event in moment]

    def hook(event, arguments):
        if waiting and event == waiting[0][0] and str(arguments[0]).endswith(waiting[0][2]):
            del waiting[0]
            if not waiting and what == "ENOMEM":
                pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
                resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (1 << 30),) * 2)
            elif not waiting and what.startswith("SIGALRM "):
                signal.setitimer(signal.ITIMER_REAL, float(what.split()[1]))
            elif not waiting and what != "ENOSPC":
                os.kill(os.getpid(), signal.Signals[what])
        if not waiting and what == "ENOSPC" and event == "open" and arguments[2] & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), arguments[0])

    sys.addaudithook(hook)


def announce(owner: type, method: str, event: str) -> None:
    """Let each call of a method raise an audit event with the number of the call."""
    original, count = getattr(owner, method), itertools.count(1)

    def announced(*arguments):
        sys.audit(event, next(count))
        return original(*arguments)

    setattr(owner, method, announced)


if __name__ == "__main__":
    from arch_zoo.data.pipeline import Prefetcher
    from arch_zoo.training.batches import Batches

    end = sys.argv.index("--")
    stop_at(sys.argv[2:end], sys.argv[1])
    signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background inherits that it is ignored
    del sys.argv[1:end + 1]
    announce(Prefetcher, "next", "step")
    announce(Batches, "evaluation_batch_at", "evaluation")
    program.run(train.main, train.__doc__, RunConfig)
