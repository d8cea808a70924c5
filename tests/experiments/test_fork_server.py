"""A fork of the server is a program of its own: output, environment, exit code, signals, and an end with its server."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from experiments.engines.fork_server import ForkServer
from tests.runs import ROOT, environment

PROGRAM = """
import os, signal, sys, time
print(os.environ.get("GREETING"), sys.argv[1], "jax" in sys.modules, flush=True)
if sys.argv[1] == "wait":
    while True:
        time.sleep(0.05)
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    path = tmp_path_factory.mktemp("programs")
    (path / "told.py").write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def server(home):
    """One that hears of Ctrl-C while it still imports."""
    server = ForkServer(environment() | {"PYTHONPATH": f"{ROOT}:{home}"})
    os.kill(server._process.pid, signal.SIGINT)
    yield server
    server.close()
    assert server._process.returncode == 0


def ended(server, pid):
    deadline = time.monotonic() + 300
    while (code := server.exit_code(pid)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


def test_forks_have_their_own_output_environment_and_exit_code(server, home):
    with open(home / "lock", "w") as lock:
        pids = {code: server.start("told", [str(code)], {"GREETING": f"hello {code}"}, home / f"{code}.log",
                                   [lock.fileno()]) for code in (0, 3)}
    assert {code: ended(server, pid) for code, pid in pids.items()} == {0: 0, 3: 3}
    assert (home / "3.log").read_text() == "hello 3 3 True\n"  # what the server has imported is there already
    assert (home / "0.log").read_text() == "hello 0 0 True\n"


def test_a_fork_that_is_killed_tells_by_which_signal(server, home):
    with open(home / "lock", "w") as lock:
        pid = server.start("told", ["wait"], {}, home / "wait.log", [lock.fileno()])
    assert server.exit_code(pid) is None
    os.kill(pid, signal.SIGTERM)
    assert ended(server, pid) == -signal.SIGTERM


def test_forks_end_when_whoever_started_the_server_is_killed(home):
    script = textwrap.dedent(f"""
        import os, pathlib, time
        from experiments.engines.fork_server import ForkServer
        server = ForkServer(dict(os.environ))
        home = pathlib.Path({str(home)!r})
        print(server.start("told", ["wait"], {{}}, home / "orphan.log", [os.open(home, os.O_RDONLY)]), flush=True)
        time.sleep(600)
    """)
    starter = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                               env=environment() | {"PYTHONPATH": f"{ROOT}:{home}"})
    pid = int(starter.stdout.readline())
    assert pathlib.Path(f"/proc/{pid}").exists()
    starter.kill()
    deadline = time.monotonic() + 120
    while pathlib.Path(f"/proc/{pid}").exists() and "Z" not in pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_ctrl_c_while_it_imports_is_for_whoever_started_it(server, home):
    pid = server.start("told", ["0"], {"GREETING": "still here"}, home / "still.log", [])
    assert ended(server, pid) == 0


def test_one_that_nobody_asked_ends_at_once(home):
    server = ForkServer(environment())
    server.close()
    assert server._process.returncode == -signal.SIGKILL  # it did not first import everything
