"""Two real processes over localhost train the run that one process trains, and save what any number can go on from."""

import json
import re
import socket

import numpy as np
import pytest

from tests.runs import TRAINING, assert_one_line, final_state, finish, many, metrics_of, start, tiny_flags, write_corpus

CHANGES = {"model__residual_dropout": 0.1, "model__norm_bias": False, "model__attention_bias": False,
           "model__mlp_bias": False, "model__position": "none", "mesh": "fsdp:2", "steps": 12, "checkpoint_every": 6}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("localhost", 0))
        return found.getsockname()[1]


def together(flags, modules, count=2, devices=2):
    """How the processes end that run the modules with the same flags."""
    where = [f"--coordinator=localhost:{free_port()}", f"--processes={count}"]
    started = [start(["-m", *module, *flags, *where, f"--process={number}"], devices)
               for number, module in enumerate(modules)]
    return [finish(process) for process in started]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("corpus") / "text.txt")


@pytest.fixture(scope="module")
def alone(corpus, tmp_path_factory):
    """The directory of the run that one process trains on one device."""
    workdir = tmp_path_factory.mktemp("alone") / "run"
    ended, = many([("experiments.train", tiny_flags(corpus, workdir, **CHANGES | {"mesh": ""}))], TRAINING)
    assert ended["code"] == 0, ended["err"]
    return workdir


def assert_same_up_to_summation_order(workdir, other):
    ours, theirs = metrics_of(workdir), metrics_of(other)
    assert [line.keys() for line in ours] == [line.keys() for line in theirs]
    assert all(a[key] == pytest.approx(b[key], rel=1e-4) for a, b in zip(ours, theirs, strict=True) for key in a)
    ours, theirs = final_state(workdir), final_state(other)
    for name, value in theirs.items():
        if "parameters" in name:
            np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-5, err_msg=name)


def test_two_processes_train_what_one_does_and_one_goes_on_from_what_two_saved(corpus, alone, tmp_path):
    """The second one is told to stop: both stop at the same step, and save."""
    workdir = tmp_path / "run"
    flags = tiny_flags(corpus, workdir, **CHANGES)
    stopped = together(flags, (["experiments.train"], ["tests.stop_at", "SIGTERM", "step 7", "--"]))
    for ended in stopped:
        assert ended.returncode == 130, ended.stderr
        assert "stopped at step 10 of 12, which is saved" in ended.stderr
    assert "step 5/12" in stopped[0].stderr and "step 5/12" not in stopped[1].stderr, "the first one tells"
    assert not (workdir / "result.json").exists()
    assert json.loads((workdir / "environment.json").read_text())["devices"] == 4
    ended, = many([("experiments.train", tiny_flags(corpus, workdir, **CHANGES | {"mesh": ""}))], TRAINING)
    assert ended["code"] == 0, ended["err"]
    assert re.search("resuming at step 10 of 12", ended["err"])
    assert_same_up_to_summation_order(workdir, alone)


def test_what_is_wrong_with_the_directory_is_said_by_all(corpus, alone):
    for ended in together(tiny_flags(corpus, alone, **CHANGES | {"seed": 5}), (["experiments.train"],) * 2):
        assert ended.returncode == 1
        assert f"{alone}: this directory belongs to another config: seed (0 there, 5 now)" in ended.stderr


WRONG = {"--processes=2": "several processes need --coordinator=HOST:PORT, --processes and --process; missing: "
                          "--coordinator, --process",
         "--processes=2 --process=2 --coordinator=localhost:1": "--process=2 is none of the 2 processes",
         "--processes=2 --process=1 --coordinator=localhost": "--coordinator=localhost has no port"}


def test_flags_that_do_not_fit_are_one_line(tmp_path):
    commands = [("experiments.train", [f"--workdir={tmp_path / 'run'}", *flags.split()]) for flags in WRONG]
    ended = many(commands, TRAINING)
    for one, message in zip(ended, WRONG.values(), strict=True):
        assert_one_line(one, message, code=1)
    assert not (tmp_path / "run").exists()
