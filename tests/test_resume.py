"""A run that is killed and started again, at any moment, ends as if nothing had happened: bit for bit."""

import json
import random
import re
import signal
import time

import numpy as np
import pytest

from tests.runs import (
    assert_same_run,
    final_state,
    finish,
    metrics_of,
    start,
    tiny_flags,
    train,
    write_corpus,
)

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
    processes = [start(["-m", "experiments.train", *tiny_flags(corpus, directories[name], **RUNS[name])])
                 for name in RUNS]
    for process in processes:
        ended = finish(process)
        assert ended.returncode == 0, ended.stderr
    return directories


def stopped(number: str, moment: list[str], flags: list[str]):
    """Train until the moment (see tests/stop_at.py), at which the process gets the signal."""
    return finish(start(["-m", "tests.stop_at", number, *moment, "--", *flags]))


def test_killed_in_training_in_saving_and_in_deleting(corpus, uninterrupted, tmp_path):
    flags = tiny_flags(corpus, tmp_path / "run", **RUNS["decoder"])
    moments = {  # what was about to happen at the kill, and at which step the next process may resume
        "the first files of a checkpoint": ([f"open {HALF_WRITTEN}/notes.orbax-checkpoint-tmp/metadata"], {8}),
        "a whole checkpoint gets its name": ([f"os.rename {HALF_WRITTEN}"], {8}),
        "a step, with a save in the background": (["step 13"], {8, 16}),
        "an old checkpoint is half deleted": (["shutil.rmtree checkpoints/8", "os.remove "], {24}),
    }
    resumable = set()
    for what, (moment, next_resumable) in moments.items():
        killed = stopped("SIGKILL", moment, flags)
        assert killed.returncode == -signal.SIGKILL, (what, killed.stderr)
        assert resumed_at(killed) in resumable or not resumable, what
        assert not (tmp_path / "run" / "result.json").exists()
        resumable = next_resumable
    assert any((tmp_path / "run" / "checkpoints" / "8").iterdir()), "the last kill came too late"
    ended = train(flags)
    assert ended.returncode == 0, ended.stderr
    assert resumed_at(ended) in resumable
    assert_same_run(tmp_path / "run", uninterrupted["decoder"])


def test_killed_in_a_mixture_and_after_its_schedule_switched(corpus, uninterrupted, tmp_path):
    flags = tiny_flags(corpus, tmp_path / "run", **RUNS["schedule"])
    for moment in ("step 10", "step 10"):  # of each process: at steps 10 and 18
        assert stopped("SIGKILL", [moment], flags).returncode == -signal.SIGKILL
    ended = train(flags)
    assert ended.returncode == 0, ended.stderr
    assert_same_run(tmp_path / "run", uninterrupted["schedule"])


def resumed_at(process):
    """The step at which a process says that it resumed; None where it began at the beginning."""
    match = re.search(r"resuming at step (\d+) of 24", process.stderr)
    return match and int(match[1])


def test_killed_in_evaluation_and_at_random(corpus, uninterrupted, tmp_path):
    flags = tiny_flags(corpus, tmp_path / "run", **RUNS["encoder"])
    killed = stopped("SIGKILL", ["evaluation 6"], flags)  # the second batch of the evaluation at step 12
    assert killed.returncode == -signal.SIGKILL
    assert [line["step"] for line in metrics_of(tmp_path / "run") if "eval/loss" in line] == [6, 8]
    evaluated = [line for line in metrics_of(tmp_path / "run") if "eval/loss" in line]
    for line in evaluated:
        parts = line["eval/loss_vocabulary"] + line["eval/loss_sentence"]
        assert line["eval/loss"] == pytest.approx(parts, rel=0.01) and line["eval/loss_sentence"] < 1.5
        assert 0 < line["eval/accuracy_sentence"] < 1 and line["eval/loss_tokens"] > 50
    for _ in range(2):
        process, delay = start(["-m", "experiments.train", *flags]), random.uniform(0, 1.0)
        while "compiled" not in (line := process.stderr.readline()):
            assert line, "it ended before it had compiled"
        time.sleep(delay)
        process.kill()
        process.communicate()
    ended = train(flags)
    assert ended.returncode == 0, f"after a kill {delay:.3f} s into training: {ended.stderr}"
    assert_same_run(tmp_path / "run", uninterrupted["encoder"])


@pytest.mark.slow
def test_what_a_generator_draws_is_drawn_again(corpus, tmp_path):
    changes = {"model__architecture": "encoder_only", "objective": "electra", "model__discriminator": True,
               "model__vocabulary_head": False, "model__residual_dropout": 0.1}
    ended = train(tiny_flags(corpus, tmp_path / "whole", **changes))
    assert ended.returncode == 0, ended.stderr
    flags = tiny_flags(corpus, tmp_path / "run", **changes)
    assert stopped("SIGKILL", ["step 13"], flags).returncode == -signal.SIGKILL
    assert train(flags).returncode == 0
    assert_same_run(tmp_path / "run", tmp_path / "whole")


def test_a_different_seed_differs(uninterrupted):
    """The negative control: the comparison of two runs can fail."""
    with pytest.raises(AssertionError):
        assert_same_run(uninterrupted["decoder"], uninterrupted["another seed"])


@pytest.mark.parametrize("number", ["SIGTERM", "SIGUSR1", "SIGUSR2"])
def test_what_slurm_sends_before_the_end_of_a_job_saves_and_stops(corpus, number, tmp_path):
    ended = stopped(number, ["step 13"], tiny_flags(corpus, tmp_path / "run", **RUNS["decoder"]))
    assert ended.returncode == 130
    assert "stopped at step 13 of 24, which is saved" in ended.stderr
    assert (tmp_path / "run" / "checkpoints" / "13").exists()


def test_stopped_on_one_device_and_resumed_on_two(corpus, uninterrupted, tmp_path):
    flags = tiny_flags(corpus, tmp_path / "run", **RUNS["decoder"])
    interrupted = stopped("SIGINT", ["step 13"], flags)
    assert interrupted.returncode == 130
    last_line = interrupted.stderr.strip().splitlines()[-1]
    assert last_line == ("stop_at: stopped at step 13 of 24, which is saved; the same command goes on from here")
    assert not (tmp_path / "run" / "result.json").exists()
    ended = train(flags, devices=2)
    assert ended.returncode == 0, ended.stderr
    assert resumed_at(ended) == 13
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["devices"] == 2
    ours, theirs = final_state(tmp_path / "run"), final_state(uninterrupted["decoder"])
    for name, value in theirs.items():
        if "parameters" in name:  # sums over the batch are now made in another order
            np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-5, err_msg=name)
    ours, theirs = metrics_of(tmp_path / "run"), metrics_of(uninterrupted["decoder"])
    assert [line.keys() for line in ours] == [line.keys() for line in theirs]
    assert all(a[key] == pytest.approx(b[key], rel=1e-4) for a, b in zip(ours, theirs, strict=True) for key in a)
    assert ours[:3] == theirs[:3]
