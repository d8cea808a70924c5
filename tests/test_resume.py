"""A run that is killed and started again, at any moment, ends as if nothing had happened: bit for bit."""

import json
import os
import random
import re
import signal

import numpy as np
import pytest

from arch_zoo.training import loop
from tests.runs import (
    TRAINING,
    assert_same_run,
    final_state,
    many,
    metrics_of,
    tiny_flags,
    write_corpus,
)
from tests.toy import WITHOUT_BIASES

# Dropout and corruption are drawn anew at each step, so that a wrong step would show.
RUNS = {"decoder": {"model__residual_dropout": 0.1},
        "another seed": {"model__residual_dropout": 0.1, "seed": 1},
        # Rows of two objectives until step 14, of one from there on: kills fall before and after.
        "schedule": {"model__architecture": "prefix_decoder", "objective": "schedule",
                     "objective__parts": "mixture,masked_lm", "objective__parts.0.parts": "causal_lm,masked_next_token",
                     "objective__switches": "0.58"},
        "encoder": {"model__architecture": "encoder_only", "objective": "next_sentence", "model__mlp_dropout": 0.1,
                    "model__pooler": True, "model__sentence_classes": 2, "model__token_types": 2, "data__length": 48,
                    "data__unique_tokens": 480}}  # seen several times before the end
RUNS = {name: WITHOUT_BIASES | changes for name, changes in RUNS.items()}
HALF_WRITTEN = "checkpoints/16.orbax-checkpoint-tmp"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Documents of five sentences."""
    path = write_corpus(tmp_path_factory.mktemp("corpus") / "text.txt")
    sentences = path.read_text().split("\n\n")
    path.write_text("\n\n".join("\n".join(sentences[i:i + 5]) for i in range(0, len(sentences), 5)))
    return path


@pytest.fixture(scope="module")
def uninterrupted(corpus, tmp_path_factory):
    """{name of a run: its directory}."""
    directories = {name: tmp_path_factory.mktemp(name) / "run" for name in RUNS}
    assert_well(trained(corpus, {name: (directories[name], RUNS[name]) for name in RUNS}))
    return directories


def trained(corpus, cases):
    """{name: how the program ended} for {name: (workdir, changes)}, one after the other."""
    commands = [("experiments.train", tiny_flags(corpus, workdir, **changes)) for workdir, changes in cases.values()]
    return dict(zip(cases, many(commands, TRAINING), strict=True))


def assert_well(ended):
    assert {name: one["code"] for name, one in ended.items()} == dict.fromkeys(ended, 0), ended


# What was about to happen when the run was killed, one time after the other (see tests/stop_at.py).
MOMENTS = {
    "decoder": {
        "the first files of a checkpoint": [f"open {HALF_WRITTEN}/notes.orbax-checkpoint-tmp/metadata"],
        "a whole checkpoint gets its name": [f"os.rename {HALF_WRITTEN}"],
        "a step, with a save in the background": ["step 13"],
        "an old checkpoint is half deleted": ["shutil.rmtree checkpoints/8", "os.remove "]},
    "schedule": {"before the switch": ["step 10"], "after it": ["step 10"]},  # of each process: at steps 10 and 18
    "encoder": {"the second batch of the evaluation at step 12": ["evaluation 6"]}}


@pytest.fixture(scope="module")
def killed(corpus, tmp_path_factory):
    """{name of a run: (its directory, {moment: how the process ended that was killed at it})}."""
    directories = {name: tmp_path_factory.mktemp(f"{name}_killed") / "run" for name in MOMENTS}
    commands = {(name, what): ("tests.stop_at", ["SIGKILL", *moment, "--",
                                                 *tiny_flags(corpus, directories[name], **RUNS[name])])
                for name, moments in MOMENTS.items() for what, moment in moments.items()}
    ended = dict(zip(commands, many(list(commands.values()), TRAINING), strict=True))
    for key, one in ended.items():
        assert one["code"] == -signal.SIGKILL, (key, one["err"])
    return {name: (directories[name], {what: ended[name, what] for what in moments})
            for name, moments in MOMENTS.items()}


def test_killed_in_training_in_saving_and_in_deleting(corpus, uninterrupted, killed):
    workdir, ended = killed["decoder"]
    assert not (workdir / "result.json").exists()
    assert any((workdir / "checkpoints" / "8").iterdir()), "the last kill came too late"
    ended |= trained(corpus, {"at the end": (workdir, RUNS["decoder"])})
    assert ended["at the end"]["code"] == 0, ended["at the end"]["err"]
    # At which step each process could go on after the kill of the one before it.
    for (what, one), resumable in zip(ended.items(), ({None}, {8}, {8}, {8, 16}, {24}), strict=True):
        assert resumed_at(one["err"]) in resumable, what
    assert_same_run(workdir, uninterrupted["decoder"])


def test_killed_in_a_mixture_and_after_its_schedule_switched(corpus, uninterrupted, killed):
    workdir, _ = killed["schedule"]
    assert_well(trained(corpus, {"schedule": (workdir, RUNS["schedule"])}))
    assert_same_run(workdir, uninterrupted["schedule"])


def resumed_at(err: str):
    """The step at which a process says that it resumed; None where it began at the beginning."""
    match = re.search(r"resuming at step (\d+) of 24", err)
    return match and int(match[1])


def test_killed_in_evaluation_and_at_random(corpus, uninterrupted, killed):
    workdir, _ = killed["encoder"]
    evaluated = [line for line in metrics_of(workdir) if "eval/loss" in line]
    assert [line["step"] for line in evaluated] == [6, 8]
    for line in evaluated:
        parts = line["eval/loss_vocabulary"] + line["eval/loss_sentence"]
        assert line["eval/loss"] == pytest.approx(parts, rel=0.01) and line["eval/loss_sentence"] < 1.5
        assert 0 < line["eval/accuracy_sentence"] < 1 and line["eval/loss_tokens"] > 50
    flags, delays = tiny_flags(corpus, workdir, **RUNS["encoder"]), [random.uniform(0, 0.5) for _ in range(2)]
    *killed, ended = many([*(("tests.stop_at", [f"SIGALRM {delay}", "step 1", "--", *flags]) for delay in delays),
                           ("experiments.train", flags)], TRAINING)
    assert {one["code"] for one in killed} <= {-signal.SIGALRM, 0}, killed  # 0: it was done already
    assert ended["code"] == 0, f"after kills {delays} s into training: {ended['err']}"
    assert_same_run(workdir, uninterrupted["encoder"])


@pytest.mark.slow
def test_what_a_generator_draws_is_drawn_again(corpus, tmp_path):
    changes = {"model__architecture": "encoder_only", "objective": "electra", "model__discriminator": True,
               "model__vocabulary_head": False, "model__residual_dropout": 0.1} | WITHOUT_BIASES
    flags = tiny_flags(corpus, tmp_path / "run", **changes)
    whole, killed, resumed = many([
        ("experiments.train", tiny_flags(corpus, tmp_path / "whole", **changes)),
        ("tests.stop_at", ["SIGKILL", "step 13", "--", *flags]), ("experiments.train", flags)], TRAINING)
    assert (whole["code"], killed["code"], resumed["code"]) == (0, -signal.SIGKILL, 0), resumed["err"]
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_different_seed_differs(uninterrupted):
    """The negative control: the comparison of two runs can fail."""
    with pytest.raises(AssertionError):
        assert_same_run(uninterrupted["decoder"], uninterrupted["another seed"])


def test_what_slurm_sends_before_the_end_of_a_job_saves_and_stops(corpus, tmp_path):
    flags = tiny_flags(corpus, tmp_path, **RUNS["decoder"])
    ended, = many([("tests.stop_at", ["SIGUSR1", "step 13", "--", *flags])], TRAINING)
    assert ended["code"] == 130
    assert "stopped at step 13 of 24, which is saved" in ended["err"]
    assert (tmp_path / "checkpoints" / "13").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_each_signal_that_slurm_may_send_asks_to_stop_once(number):
    def before(*_):
        raise AssertionError("a signal that was not heeded")

    usual = signal.signal(number, before)
    try:
        with loop._StopOnSignal() as stop:
            assert not stop.asked
            os.kill(os.getpid(), number)
            assert stop.asked and signal.getsignal(number) is before  # the second one kills
    finally:
        signal.signal(number, usual)


def test_stopped_on_one_device_and_resumed_on_two(corpus, uninterrupted, tmp_path):
    flags = tiny_flags(corpus, tmp_path / "run", **RUNS["decoder"])
    interrupted, = many([("tests.stop_at", ["SIGINT", "step 13", "--", *flags])], TRAINING)
    assert interrupted["code"] == 130
    last_line = interrupted["err"].strip().splitlines()[-1]
    assert last_line == ("stop_at: stopped at step 13 of 24, which is saved; the same command goes on from here")
    assert not (tmp_path / "run" / "result.json").exists()
    ended, = many([("experiments.train", flags)], TRAINING, devices=2)
    assert ended["code"] == 0, ended["err"]
    assert resumed_at(ended["err"]) == 13
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["devices"] == 2
    ours, theirs = final_state(tmp_path / "run"), final_state(uninterrupted["decoder"])
    for name, value in theirs.items():
        if "parameters" in name:  # sums over the batch are now made in another order
            np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    ours, theirs = metrics_of(tmp_path / "run"), metrics_of(uninterrupted["decoder"])
    assert [line.keys() for line in ours] == [line.keys() for line in theirs]
    assert all(a[key] == pytest.approx(b[key], rel=1e-4) for a, b in zip(ours, theirs, strict=True) for key in a)
    assert ours[:3] == theirs[:3]
