"""What the status of a study says of each cell, and that looking disturbs nobody."""

import contextlib
import fcntl
import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic, write_text_atomic
from experiments import status
from experiments.studies import states
from experiments.studies.states import Locks, held_locks, read_study
from tests.runs import ROOT, assert_one_line, heard_ctrl_c, many

NOW = time.time() + 5
RUN = {"seed": 0, "steps": 120, "batch_size": 4, "data": {"length": 32}}
METRICS = [{"key": "bits_per_byte", "title": "Bits per byte"}]
linux = pytest.mark.skipif(sys.platform != "linux", reason="where there is no /proc/locks, locks are not looked up")


def write_study(workdir: pathlib.Path, arms=("depth=2", "depth=4"), seeds=(0, 1), **record) -> pathlib.Path:
    """A study of which nothing has begun."""
    planned = [{"name": name, "slug": name.replace("=", "_"), "overrides": {}} for name in arms]
    write_json_atomic(workdir / "study.json", {"title": "Sweep of depth", "arms": planned, "seeds": list(seeds),
                                               "cells": "cells/{arm}/seed_{seed}", "metrics": METRICS, **record})
    for arm in planned:
        for seed in seeds:
            write_json_atomic(cell(workdir, arm["slug"], seed) / "cell.json", {"label": "", "run": RUN})
    return workdir


def cell(workdir, arm="depth_2", seed=0) -> pathlib.Path:
    return workdir / "cells" / arm / f"seed_{seed}"


def finish(directory, value=2.5, seconds=60.0):
    metrics = {"bits_per_byte": {"value": value, "count": 3}}
    write_json_atomic(directory / "result.json", {"steps": 120, "seconds": seconds, "metrics": metrics})


def train(directory, step=40, rest="", rate=256.0):
    lines = [{"step": step - 20, "train/tokens_per_second": 1.0}, {"step": step, "train/tokens_per_second": rate},
             {"step": step, "eval/loss": 5.0}]
    write_text_atomic(directory / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + rest)


@contextlib.contextmanager
def at_work(directory, name=".lock"):
    """The directory as `claim` holds it."""
    with open(directory / name, "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def found(workdir, arm="depth_2", seed=0):
    return next(one for one in read_study(workdir, NOW).cells if (one.arm, one.seed) == (arm, seed))


def drawn(workdir, width=100, rows=40) -> str:
    console = Console(width=width, record=True, file=open("/dev/null", "w"))
    console.print(status.picture(read_study(workdir), rows))
    return console.export_text()


# --- one cell ----------------------------------------------------------------------------------------------------

@linux
def test_a_cell_is_at_work_only_while_its_directory_is_locked(tmp_path):
    one = cell(write_study(tmp_path))
    assert found(tmp_path).state == "pending" and found(tmp_path).message == ""
    train(one)
    with at_work(one):
        running = found(tmp_path)
        assert (running.state, running.step, running.steps, running.rate) == ("running", 40, 120, 2.0)
        assert running.left == 40.0  # 80 steps, two a second
        assert "40/120 at 2/s, left 0:40" in drawn(tmp_path)
    assert (found(tmp_path).state, found(tmp_path).message) == ("pending", "stopped at step 40 of 120")
    finish(one)
    assert (found(tmp_path).state, found(tmp_path).value, found(tmp_path).seconds) == ("done", 2.5, 60.0)


@linux
def test_what_a_cell_does_besides_training_is_the_last_line_of_its_log(tmp_path):
    one = cell(write_study(tmp_path))
    with at_work(one):
        assert found(tmp_path).message == "starting"
        (one / "cell.log").write_text("compiled in 3.1 s")
        assert found(tmp_path).message == "compiled in 3.1 s"
        train(one)
        assert found(tmp_path).message == ""
        train(one, step=120)
        (one / "cell.log").write_text("step 120/120\nmeasuring classification\n")
        assert status.doing(read_study(tmp_path).cells[0]) == "trained, measuring classification"
        age = max(path.stat().st_mtime for path in one.iterdir())
        late = next(iter(read_study(tmp_path, age + 3600).cells))
        assert late.message == "nothing written for 1:00:00"


@linux
def test_a_failed_cell_says_why_until_it_is_tried_again(tmp_path):
    one = cell(write_study(tmp_path))
    write_json_atomic(one / "failed.json", {"error": "the loss is not finite at step 2"})
    assert (found(tmp_path).state, found(tmp_path).message) == ("failed", "the loss is not finite at step 2")
    with at_work(one, ".taken"):
        assert (found(tmp_path).state, found(tmp_path).message) == ("pending", "taken by a runner")
        with at_work(one):
            assert found(tmp_path).state == "running"


@linux
def test_looking_takes_no_lock(tmp_path, monkeypatch):
    one = cell(write_study(tmp_path))
    with at_work(one):
        for name in ("flock", "lockf"):
            monkeypatch.setattr(states.fcntl, name, lambda *_: pytest.fail("a runner could be refused now"))
        assert found(tmp_path).state == "running"
    monkeypatch.undo()
    with at_work(one):  # and whoever comes next gets it
        pass


@linux
def test_a_lock_of_a_range_as_network_file_systems_make_of_it_counts_too(tmp_path):
    one = cell(write_study(tmp_path))
    hold = "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print(); input()"
    holder = subprocess.Popen([sys.executable, "-uc", hold, one / ".lock"], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE)
    holder.stdout.readline()
    nobody = Locks(frozenset())
    assert nobody.holds(one / ".lock", NOW)
    holder.communicate(b"\n")
    assert not nobody.holds(one / ".lock", NOW)


def test_where_locks_cannot_be_looked_up_a_cell_that_wrote_lately_is_at_work(tmp_path):
    one = cell(write_study(tmp_path))
    assert held_locks(tmp_path / "no_such_table") == Locks(None)
    assert not Locks(None).holds(one / ".lock", NOW)
    train(one)
    (one / ".lock").touch()
    written = (one / "metrics.jsonl").stat().st_mtime
    assert Locks(None).holds(one / ".lock", written + 30)
    assert not Locks(None).holds(one / ".lock", written + 90)


def test_lines_that_are_being_written_are_left_out(tmp_path):
    one = cell(write_study(tmp_path))
    train(one, rest='{"step": 60, "train/lo')
    assert found(tmp_path).message == "stopped at step 40 of 120"
    (one / "cell.json").write_text('{"run": {')
    assert found(tmp_path).message == "stopped at step 40 of None"  # no tool of ours leaves it so; nothing breaks


# --- the whole ---------------------------------------------------------------------------------------------------

def test_the_time_left_is_that_of_done_cells_of_the_same_arm(tmp_path):
    write_study(tmp_path)
    assert read_study(tmp_path).left is None
    finish(cell(tmp_path, "depth_2", 0), seconds=10)
    finish(cell(tmp_path, "depth_4", 0), seconds=100)
    assert read_study(tmp_path).left is None  # nobody works
    study = read_study(tmp_path)
    running = [states.dataclasses.replace(one, state="running", left=5.0) if one.arm == "depth_2" and one.seed else one
               for one in study.cells]
    assert states.dataclasses.replace(study, cells=tuple(running)).left == 105.0
    assert "4 cells: 2 done, 2 pending; nobody is working here" in drawn(tmp_path)


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_and_an_error_is_told_to_its_end(tmp_path, width):
    long = "depth=2, learning_rate=1e-3, position=rotary"
    one = write_study(tmp_path, arms=(long, "depth=4"))
    arm = "depth_2,_learning_rate_1e-3,_position_rotary"
    error = "the loss is not finite at step 2; the last good checkpoint is step 0; lower optimizer.learning_rate"
    write_json_atomic(next((one / "cells").glob("depth_2*")) / "seed_1" / "failed.json", {"error": error})
    finish(cell(tmp_path, "depth_4", 0), value=None)
    text = drawn(tmp_path, width)
    assert arm not in text and all(len(line) <= width for line in text.splitlines())
    assert [word for word in error.split() if word not in text] == []
    assert "n/a" in text and "Sweep of depth" in " ".join(text.split())  # a long path may end the line anywhere


def test_of_hundreds_of_cells_arms_are_counted_and_failures_told(tmp_path):
    write_study(tmp_path, arms=[f"depth={n}" for n in range(1, 61)], seeds=range(5))
    for n in range(1, 61):
        finish(cell(tmp_path, f"depth_{n}", 0), value=2.0)
        finish(cell(tmp_path, f"depth_{n}", 1), value=3.0)
    for seed in (2, 3, 4):
        for n in (7, 8, 9, 10):
            write_json_atomic(cell(tmp_path, f"depth_{n}", seed) / "failed.json", {"error": f"lost {n}"})
    lines = drawn(tmp_path).splitlines()
    assert any(line.split() == ["depth=1", "2", "·", "·", "3", "2.500"] for line in lines)
    assert any(line.split() == ["depth=7", "2", "·", "3", "·", "2.500"] for line in lines)
    assert sum("lost" in line for line in lines) == 10 and "… and 2 more that failed" in lines[-1]
    assert len(lines) < 85


def test_a_single_run_a_cell_and_an_unplanned_study_are_shown(tmp_path):
    for name in ("study", "config"):
        write_json_atomic(tmp_path / name / "config.json", RUN)
        train(tmp_path / name)
    write_study(tmp_path / "study", arms=("decoder_only, causal_lm",), seeds=(3,), cells=".", metrics=[])
    write_json_atomic(tmp_path / "study" / "result.json", {"steps": 120, "train_seconds": 9, "evaluation_loss": 5.25})
    assert "5.250" in drawn(tmp_path / "study") and "held-out" in drawn(tmp_path / "study")
    assert read_study(tmp_path / "config").cells[0].message == "stopped at step 40 of 120"
    write_json_atomic(tmp_path / "new" / "config.json", {"title": "x", "arms": []})
    assert "nothing is planned yet" in drawn(tmp_path / "new")


def test_learning_rates_on_trial_are_cells_too(tmp_path):
    write_study(tmp_path, tuning={"rates": [1e-3, 0.1], "share": 0.25, "cells": "tuning/{arm}/rate_{rate:g}"})
    finish(tmp_path / "tuning" / "depth_2" / "rate_0.001", value=9.0)
    write_json_atomic(tmp_path / "tuning" / "depth_2" / "rate_0.1" / "failed.json", {"error": "not finite"})
    study = read_study(tmp_path)
    assert [(cell.trial, cell.state) for cell in study.cells if cell.arm == "depth_2"] == [
        (1e-3, "done"), (0.1, "failed"), (None, "pending"), (None, "pending")]
    assert "9.000" not in drawn(tmp_path) and "failed depth=2, seed 0 at 0.1: not finite" in drawn(tmp_path)


def test_what_is_no_study_is_refused_in_one_line(tmp_path):
    (tmp_path / "empty").mkdir()
    write_study(tmp_path / "runs" / "depth")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "study.json").write_text('{"arms": ')
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "study.json").write_text('["arms"]')
    (tmp_path / "depths.txt").write_text("")
    for name, message in {"dept": r"no such directory\.(?!.*depths.txt)", "nowhere/dept": r"no such directory\.$",
                          "depths.txt": "depths.txt: a file; give the directory",
                          "empty": "not the directory of a study, a sweep or a run",
                          "runs": "in it are: .*runs/depth", "broken": "not readable as JSON",
                          "other": "not the record of a study", "runs/dept": "Did you mean .*runs/depth"}.items():
        with pytest.raises(UserError, match=message):
            read_study(tmp_path / name)


# --- the program -------------------------------------------------------------------------------------------------

def test_the_program_starts_light_and_ends_when_all_is_settled(tmp_path):
    done, half = write_study(tmp_path / "done"), write_study(tmp_path / "half")
    for arm in ("depth_2", "depth_4"):
        finish(cell(done, arm, 0))
        write_json_atomic(cell(done, arm, 1) / "failed.json", {"error": "lost"})
    calls = {"once": [str(half)], "json": [str(half), "--json"], "watch": [str(done), "--watch=0.1"],
             "none": [], "both": [str(half), "--json", "--watch=1"], "pause": [str(half), "--watch=0"],
             "help": ["--help"]}
    ended = dict(zip(calls, many([("experiments.status", arguments) for arguments in calls.values()]), strict=True))
    for name in ("once", "json", "watch", "help"):
        assert (ended[name]["code"], ended[name]["err"]) == (0, ""), name
        assert not {"jax", "flax", "numpy", "matplotlib", "orbax"} & set(ended[name]["imported"]), name
    assert ended["watch"]["out"] == "4 cells: 2 done, 2 failed\n"
    state = json.loads(ended["json"]["out"])
    assert state["counts"] == {"done": 0, "running": 0, "failed": 0, "pending": 4} and not state["settled"]
    assert state["cells"][1]["directory"] == "cells/depth_2/seed_1"
    assert_one_line(ended["none"], "one argument is needed, the directory of a study, a sweep or a run; got 0")
    assert_one_line(ended["both"], "--json is printed once")
    assert_one_line(ended["pause"], "--watch")


def test_watching_ends_at_ctrl_c_without_a_word(tmp_path):
    half = write_study(tmp_path)
    with heard_ctrl_c():
        process = subprocess.Popen([sys.executable, "-m", "experiments.status", str(half), "--watch=0.1"], cwd=ROOT,
                                   text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout.readline() == "4 cells: 4 pending; nobody is working here\n"
    finish(cell(half))
    assert process.stdout.readline() == "4 cells: 1 done, 3 pending; nobody is working here\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=120) == ("", "") and process.returncode == 0
