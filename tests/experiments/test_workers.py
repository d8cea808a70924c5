"""A process of the local engine that runs cell after cell: the same results, in fewer processes."""

import os
import signal
import subprocess
import sys
import time
import types

import pytest

from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.machine import peak_memory
from arch_zoo.settings import override
from arch_zoo.training.layout import RESULT_FILE
from arch_zoo.training.metrics import read_metrics
from experiments.engines import local
from experiments.engines.fork_server import ForkServer
from experiments.engines.local import Processes
from experiments.engines.workers import Worker
from experiments.studies.config import Arm
from experiments.studies.layout import CELL_FILE, LOG_FILE
from experiments.studies.queue import Queue, take
from tests.experiments.small_study import base_in, planned, study_of
from tests.runs import ROOT, environment


class Quiet:
    def running(self, cells):
        pass

    def ended(self, cell, outcome):
        assert outcome.startswith("done in")


@pytest.fixture(scope="module")
def server():
    """One that tests share: it imports what cells need, which takes longer than most cells."""
    server = ForkServer(environment() | {"PYTHONUNBUFFERED": "1"})
    yield server
    server.close()


@pytest.fixture
def started(monkeypatch) -> list:
    """A growing list: the cells for which a process was started."""
    found, real = [], ForkServer.start
    monkeypatch.setattr(ForkServer, "start", lambda self, module, arguments, *rest: found.append(
        arguments[0].partition("cells/")[2]) or real(self, module, arguments, *rest))
    monkeypatch.setattr(local, "fast_environment", environment)
    return found


@pytest.fixture
def shared(server, started, monkeypatch):
    """What a crew starts, it starts from the shared server, and leaves that open."""
    monkeypatch.setattr(local, "ForkServer", lambda _: server)
    monkeypatch.setattr(server, "close", lambda: None)


@pytest.fixture
def processes(shared):
    processes = Processes(1)
    yield processes
    processes.stop()


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_in(tmp_path_factory.mktemp("group"))


@pytest.fixture
def three(base, tmp_path):
    """Three seeds of one arm."""
    return list(planned(study_of(base), tmp_path / "three").values())


def started_on(processes, cell):
    """The cell's job; of its lock this process keeps nothing."""
    lock = take(cell)
    job, = processes.start([cell.directory], [lock])
    os.close(lock)
    return job


def is_free(cell) -> bool:
    lock = take(cell)
    if lock is not None:
        os.close(lock)
    return lock is not None


def code_of(process) -> int:
    deadline = time.monotonic() + 300
    while (code := process.exit_code()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


def has_nothing_to_do(cell) -> None:
    """The cell is done already: its process looks at it, and then waits for more, as after any other."""
    write_json_atomic(cell.directory / RESULT_FILE, {})


def test_the_seeds_of_an_arm_share_a_process_and_are_what_they_are_in_their_own(base, tmp_path, started, shared,
                                                                                  monkeypatch):
    arms = (Arm("narrow", {}), Arm("wide", {"model.width": base.model.width * 2}))
    study = study_of(override(base, {"log_every": 1}), arms=arms, seeds=2, varies=("model.width",),
                     losses=("causal_lm",))
    said = {}
    # The first of each arm has a process of its own either way.
    for kind, names in (("kept", ["narrow/seed_0", "narrow/seed_1", "wide/seed_0"]), ("own", ["narrow/seed_1"])):
        if kind == "own":
            monkeypatch.setattr(Worker, "hand", lambda self, cell, lock: False)
        cells = planned(study, tmp_path / kind)
        cells = {name: cells[f"cells/{name}"] for name in names}
        with local.Local(max_parallel=1).crew() as crew:
            assert Queue(list(cells.values()), crew, 0, Quiet()).run() == []
        said[kind] = {name: [*(line.get("train/loss", line.get("eval/loss")) for line in read_metrics(cell.directory)),
                             read_json(cell.directory / RESULT_FILE)["metrics"]["loss/causal_lm"]["value"]]
                      for name, cell in cells.items()}
    assert said["own"] == {name: said["kept"][name] for name in said["own"]}
    assert len({tuple(one) for one in said["kept"].values()}) == 3
    assert started == ["narrow/seed_0", "wide/seed_0", "narrow/seed_1"]


def test_each_cell_has_its_own_log_and_lock_and_a_process_that_is_killed_while_it_waits_is_replaced(
        three, processes, started):
    first, second, third = three
    for cell in (first, second):
        job = started_on(processes, cell)
        assert not is_free(cell)
        assert code_of(job) == 0 and is_free(cell)
        assert len(processes._free) == 1 and processes._free[0].worker.waits
    logs = [(cell.directory / LOG_FILE).read_text() for cell in (first, second)]
    assert "seed 0" in logs[0] and "seed 1" not in logs[0]
    assert "seed 1" in logs[1] and "seed 0" not in logs[1]
    assert started == ["only/seed_0"]
    kill(processes, processes._free[0])
    has_nothing_to_do(third)
    assert code_of(started_on(processes, third)) == 0
    assert started == ["only/seed_0", "only/seed_2"]


def kill(processes, share) -> None:
    """Kill the share's process, and wait until the server has heard of it."""
    pid, deadline = share.worker.pid, time.monotonic() + 60
    os.kill(pid, signal.SIGKILL)
    while processes._server.exit_code(pid) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_cell_that_fails_ends_the_process_and_the_next_has_a_new_one(three, processes, started):
    first, second, third = three
    path = second.directory / CELL_FILE
    good = read_json(path)
    write_json_atomic(path, good | {"run": good["run"] | {"steps": -1}})
    has_nothing_to_do(first)
    assert code_of(started_on(processes, first)) == 0
    assert code_of(started_on(processes, second)) == 1
    assert "steps" in read_json(second.directory / "failed.json")["error"]
    has_nothing_to_do(third)
    assert code_of(started_on(processes, third)) == 0
    assert started == ["only/seed_0", "only/seed_2"]


def test_a_later_cell_saves_when_it_is_stopped_and_goes_on_elsewhere(base, tmp_path, processes, started):
    study = study_of(override(base, {"steps": 4000, "checkpoint_every": 4000, "evaluate_every": 4000}), seeds=2)
    cells = list(planned(study, tmp_path).values())
    short = read_json(cells[0].directory / CELL_FILE)
    write_json_atomic(cells[0].directory / CELL_FILE, short | {"run": short["run"] | {"steps": 4}})
    assert code_of(started_on(processes, cells[0])) == 0
    job, log = started_on(processes, cells[1]), cells[1].directory / LOG_FILE
    deadline = time.monotonic() + 300
    while "step 2/4000" not in log.read_text():
        assert time.monotonic() < deadline and job.exit_code() is None
        time.sleep(0.01)
    processes.stop()
    assert "which is saved" in log.read_text()
    assert is_free(cells[1]) and started == ["only/seed_0"]
    with local.Local(max_parallel=1).crew() as crew:
        job = started_on(crew, cells[1])
        while "resuming at step" not in log.read_text():
            assert time.monotonic() < deadline and job.exit_code() is None
            time.sleep(0.01)


def test_stopping_ends_a_process_that_waits_and_the_server(three, started):
    processes = Processes(1)
    has_nothing_to_do(three[0])
    assert code_of(started_on(processes, three[0])) == 0
    pid = processes._free[0].worker.pid
    processes.stop()
    assert not os.path.exists(f"/proc/{pid}") and processes._server._process.returncode == 0


def test_stopping_does_not_mind_a_process_that_is_gone(three, processes):
    started_on(processes, three[0])
    kill(processes, processes._busy[0])
    processes.stop()
    assert is_free(three[0])


def test_the_peak_of_memory_counts_anew():
    script = """
from arch_zoo.machine import forget_peak_memory, peak_memory
small = peak_memory()
taken = bytearray(b"x") * (200 << 20)
large = peak_memory()
del taken
forget_peak_memory()
print(large - small > 150 << 20, peak_memory() - small < 50 << 20)
"""
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    assert ended.stdout.split() == ["True", "True"]


def test_the_peak_of_devices_with_memory_of_their_own_counts_instead():
    def device(platform, stats):
        return types.SimpleNamespace(platform=platform, memory_stats=lambda: stats)

    two = [device("gpu", {"peak_bytes_in_use": 3}), device("gpu", {"peak_bytes_in_use": 5})]
    assert peak_memory(two) == 5
    assert peak_memory([device("gpu", None), device("cpu", {"peak_bytes_in_use": 5})]) > 1 << 20


# --- GPUs --------------------------------------------------------------------------------------------------------

@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine of which nothing is known; where its driver and its devices would be."""
    for name in ("CUDA_VISIBLE_DEVICES", "JAX_PLATFORMS", "XLA_PYTHON_CLIENT_MEM_FRACTION"):
        monkeypatch.delenv(name, raising=False)
    driver, devices = tmp_path / "driver", tmp_path / "dev"
    devices.mkdir()
    monkeypatch.setattr(local, "_DRIVER", driver)
    monkeypatch.setattr(local, "_DEVICES", devices)
    return driver, devices


def test_gpus_are_those_of_the_driver_or_else_the_devices_that_a_container_has(bare, monkeypatch):
    driver, devices = bare
    assert local.usable_gpus() == []
    for name in ("nvidia0", "nvidia1", "nvidia10", "nvidiactl", "nvidia-uvm", "null"):
        (devices / name).touch()
    for platforms, count in {"cuda,cpu": 3, "": 3, "cpu": 0}.items():
        monkeypatch.setenv("JAX_PLATFORMS", platforms)
        assert len(local.usable_gpus()) == count
    monkeypatch.delenv("JAX_PLATFORMS")
    assert local.usable_gpus() == ["0", "1", "2"]
    driver.mkdir()
    (driver / "0000:01:00.0").touch()
    assert local.usable_gpus() == ["0"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert local.usable_gpus() == ["3", "5"]


def test_processes_on_a_gpu_share_its_memory_unless_the_user_has_said_how_much(bare, monkeypatch):
    def shares():
        return [local._share(i, 3, [0, 1, 2], ["0", "1"]) for i in range(3)]

    assert [share["CUDA_VISIBLE_DEVICES"] for share in shares()] == ["0", "1", "0"]
    assert {share["XLA_PYTHON_CLIENT_MEM_FRACTION"] for share in shares()} == {"0.45"}
    monkeypatch.setenv("XLA_PYTHON_CLIENT_MEM_FRACTION", "0.3")
    assert {share["XLA_PYTHON_CLIENT_MEM_FRACTION"] for share in shares()} == {"0.3"}
