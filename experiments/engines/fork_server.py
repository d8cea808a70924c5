"""A process that has imported what cells need, and forks for each of them: importing JAX is paid only once.

`python -m experiments.engines.fork_server` answers over a socket on its standard input. A request is one message:
{"module", "arguments", "environment"} as JSON with descriptors, the first for output, the others for the new process to
keep, whose numbers it finds in ARCH_ZOO_KEPT. Answers are lines of JSON: {"pid"} to a request, {"pid", "code"} whenever
a process has ended. Nothing here starts JAX's threads, which would not survive a fork.
"""

import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

KEPT = "ARCH_ZOO_KEPT"
_MOST = 8             # descriptors with a request
_LARGEST = 1 << 16  # bytes of a request
_PAUSE = 0.05       # seconds between two looks for processes that have ended
_LEFT_TO_FORKS = {signal.SIGINT, signal.SIGTERM}
_PRELOADED = ("arch_zoo.evaluation.samples", "arch_zoo.training.checkpoints", "arch_zoo.training.loop",
              "arch_zoo.models", "arch_zoo.objectives", "experiments.program", "experiments.studies.metrics",
              "tensorboardX")


class ForkServer:
    """The server, from the side of the process that started it. It ends with that process, and its children with it."""

    def __init__(self, environment: dict[str, str]):
        """`environment` is that of the server, and of its children where they are not given another."""
        self._socket, theirs = socket.socketpair()
        # Ctrl-C reaches the whole group, and who started this decides: the server inherits that it is blocked.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _LEFT_TO_FORKS)
        try:
            self._process = subprocess.Popen([sys.executable, "-m", "experiments.engines.fork_server"],
                                             env=environment, stdin=theirs.fileno())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()
        self._unread, self._codes, self._was_asked = b"", {}, False

    def start(self, module: str, arguments: list[str], environment: dict[str, str], log: pathlib.Path,
              kept: Sequence[int]) -> int:
        """`python -m module arguments` in a fork, its output appended to `log`; returns its process id."""
        request = json.dumps({"module": module, "arguments": arguments, "environment": environment}).encode()
        self._was_asked = True
        with open(log, "ab") as file:
            socket.send_fds(self._socket, [request], [file.fileno(), *kept])
        while True:
            for answer in self._answers(wait=True):
                if "code" not in answer:
                    self._codes.pop(answer["pid"], None)  # of an earlier process that had this number
                    return answer["pid"]

    def exit_code(self, pid: int) -> int | None:
        """None while the process runs; negative where a signal ended it."""
        for _ in self._answers(wait=False):
            pass
        return self._codes.get(pid)

    def _answers(self, wait: bool) -> list[dict]:
        """What has arrived; exit codes are noted."""
        if wait or select.select([self._socket], [], [], 0)[0]:
            received = self._socket.recv(_LARGEST)
            if not received:
                raise RuntimeError("the fork server has ended before the study that it works for")
            *lines, self._unread = (self._unread + received).split(b"\n")
            found = [json.loads(line) for line in lines]
            self._codes |= {answer["pid"]: answer["code"] for answer in found if "code" in answer}
            return found
        return []

    def close(self) -> None:
        """End the server; children that still run are told to end as well."""
        if not self._was_asked:  # it may still be importing, and has no children
            self._process.kill()
        self._socket.close()
        self._process.wait()


def serve(requests: socket.socket) -> None:
    """Fork for each request until the other side is gone.

    Signals are blocked here, not ignored: a fork still gets what is sent to it before it is ready.
    """
    children = set()
    while True:
        if select.select([requests], [], [], _PAUSE)[0]:
            message, descriptors, _, _ = socket.recv_fds(requests, _LARGEST, _MOST)
            if not message:
                break
            child = os.fork()
            if child == 0:
                requests.close()
                _become(json.loads(message), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            children.add(child)
            _answer(requests, {"pid": child})
        while children and (ended := os.waitpid(-1, os.WNOHANG))[0]:
            children.discard(ended[0])
            _answer(requests, {"pid": ended[0], "code": os.waitstatus_to_exitcode(ended[1])})
    for child in children:
        os.kill(child, signal.SIGTERM)


def _answer(requests: socket.socket, answer: dict) -> None:
    try:
        requests.sendall(json.dumps(answer).encode() + b"\n")
    except BrokenPipeError:
        pass  # the end of the other side is read next


def _become(request: dict, log: int, *kept: int) -> None:
    """In the fork: run the module as a program of its own, and end."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _LEFT_TO_FORKS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for descriptor, standard in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(descriptor, standard)
    os.environ.update(request["environment"] | {KEPT: ",".join(map(str, kept))})
    sys.argv = [request["module"], *request["arguments"]]
    code = 1
    try:
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    for name in _PRELOADED:
        importlib.import_module(name)
    serve(socket.socket(fileno=os.dup(0)))
