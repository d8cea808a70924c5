"""A process of the local engine that runs cell after cell: the same results, in fewer processes."""

import os
import signal
import time

import pytest

from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import override
from arch_zoo.training.metrics import read_metrics
from experiments.engines import local
from experiments.engines.fork_server import ForkServer
from experiments.engines.local import Processes
from experiments.engines.workers import Worker
from experiments.studies.config import Arm
from experiments.studies.layout import CELL_FILE, LOG_FILE
from experiments.studies.queue import Queue
from tests.experiments.test_trained_together import base, planned, study_of  # noqa: F401
from tests.runs import environment


class Quiet:
    def running(self, cells):
        pass

    def ended(self, cell, outcome):
        assert outcome.startswith("done in")


@pytest.fixture
def started(monkeypatch) -> list:
    """A growing list: the cells for which a process was started."""
    found, real = [], ForkServer.start
    monkeypatch.setattr(ForkServer, "start", lambda self, module, arguments, *rest: found.append(
        arguments[0].partition("cells/")[2]) or real(self, module, arguments, *rest))
    monkeypatch.setattr(local, "fast_environment", environment)
    return found


@pytest.fixture
def processes(started):
    processes = Processes(1)
    yield processes
    processes.stop()


@pytest.fixture
def three(base, tmp_path):  # noqa: F811
    """Three seeds of one arm, and a lock that nobody waits for."""
    cells = [cell.directory for cell in planned(study_of(base), tmp_path / "three").values()]
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT)
    yield cells, lock
    os.close(lock)


def code_of(process) -> int:
    deadline = time.monotonic() + 300
    while (code := process.exit_code()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return code


def test_the_seeds_of_an_arm_share_a_process_and_are_what_they_are_in_their_own(base, tmp_path, started,  # noqa: F811
                                                                                  monkeypatch):
    arms = (Arm("narrow", {}), Arm("wide", {"model.width": base.model.width * 2}))
    study = study_of(override(base, {"log_every": 1}), arms=arms, seeds=2, varies=("model.width",))
    said = {}
    for kind in ("kept", "own"):
        if kind == "own":
            monkeypatch.setattr(Worker, "hand", lambda self, cell, lock: False)
        cells = planned(study, tmp_path / kind)
        with local.Local(max_parallel=1).crew() as crew:
            assert Queue(list(cells.values()), crew, 0, Quiet()).run() == []
        said[kind] = {name: [line.get("train/loss", line.get("eval/loss")) for line in read_metrics(cell.directory)]
                      for name, cell in cells.items()}
    assert said["kept"] == said["own"] and len({tuple(one) for one in said["own"].values()}) == 4
    each = [f"{arm}/seed_{seed}" for arm in ("narrow", "wide") for seed in (0, 1)]
    assert started == ["narrow/seed_0", "wide/seed_0", *each]


def test_each_cell_has_its_own_log_and_lock(three, processes):
    (first, second, _), lock = three
    assert code_of(*processes.start([first], [lock])) == 0
    before = (first / LOG_FILE).read_text()
    assert code_of(*processes.start([second], [lock])) == 0
    assert (first / LOG_FILE).read_text() == before and "seed 0" in before
    assert "seed 1" in (second / LOG_FILE).read_text()
    assert read_json(second / "result.json")["peak_memory_bytes"] > 0


def test_a_cell_that_fails_ends_the_process_and_the_next_has_a_new_one(three, processes, started):
    (first, second, third), lock = three
    good = read_json(second / CELL_FILE)
    write_json_atomic(second / CELL_FILE, good | {"run": good["run"] | {"steps": -1}})
    assert code_of(*processes.start([first], [lock])) == 0
    assert code_of(*processes.start([second], [lock])) == 1
    assert "steps" in read_json(second / "failed.json")["error"]
    assert code_of(*processes.start([third], [lock])) == 0
    assert started == ["only/seed_0", "only/seed_2"]


def test_a_process_that_was_killed_while_it_waited_is_replaced(three, processes, started):
    (first, second, third), lock = three
    assert code_of(*processes.start([first], [lock])) == 0
    pid = processes._free[0].worker.pid
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while processes._server.exit_code(pid) is None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert code_of(*processes.start([second], [lock])) == 0
    assert started == ["only/seed_0", "only/seed_1"]


def test_stopping_waits_for_none_that_has_nothing_to_do(three, processes):
    (first, *_), lock = three
    assert code_of(*processes.start([first], [lock])) == 0
    pid = processes._free[0].worker.pid
    processes.stop()
    assert not os.path.exists(f"/proc/{pid}")
