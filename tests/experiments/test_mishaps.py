"""What goes wrong on the way: a loss that explodes, a full disk, damaged files, a directory that is taken."""

import fcntl
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from arch_zoo.files import read_json
from experiments import program
from experiments.studies import one_cell
from tests.runs import (
    ROOT,
    TRAINING,
    assert_one_line,
    assert_same_run,
    environment,
    final_state,
    many,
    tiny_flags,
    write_corpus,
)

TRAIN = "experiments.train"
EXPLODING = {"optimizer__learning_rate": 10, "optimizer__weight_decay": 100, "optimizer__schedule": "constant",
             "optimizer__warmup_steps": 0, "checkpoint_every": 2}


class Runs:
    """Runs that share a corpus and a cache, each in a directory of its own."""

    def __init__(self, directory):
        self.directory, self.cache = directory, directory / "cache"
        self.corpus = write_corpus(directory / "corpus.txt")

    def flags(self, name, **changes):
        return tiny_flags(self.corpus, self.directory / name, **{"data__cache_dir": self.cache, **changes})

    def train(self, name, **changes):
        return TRAIN, self.flags(name, **changes)

    def until(self, what, moment, name, **changes):
        """See tests/stop_at.py."""
        return "tests.stop_at", [what, moment, "--", *self.flags(name, **changes)]

    def copy(self, name):
        """The good run once more, unfinished: its result is gone."""
        shutil.copytree(self.directory / "good", self.directory / name)
        (self.directory / name / "result.json").unlink()
        return self.directory / name


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Good and bad runs that need nothing before them; .ended has how they ended, by name."""
    runs = Runs(tmp_path_factory.mktemp("runs"))
    commands = {
        "good": runs.train("good"),
        "not finite": runs.train("not_finite", optimizer__learning_rate=1e30),
        "not finite later": runs.train("not_finite_later", **EXPLODING),
        "disk full in training": runs.until("ENOSPC", "os.mkdir checkpoints/16.orbax-checkpoint-tmp", "disk_full"),
        "disk full in encoding": runs.until("ENOSPC", "open tokens.bin", "disk_full_early",
                                            data__cache_dir=runs.directory / "full"),
        # The logits alone are 2.9 GB, and one GiB is left.
        "no memory": runs.until("ENOMEM", "step 1", "no_memory", batch_size=2**17),
        "Ctrl-C in encoding": runs.until("SIGINT", "open tokens.bin", "interrupted",
                                         data__cache_dir=runs.directory / "interrupted_cache"),
    }
    runs.ended = dict(zip(commands, many(list(commands.values()), TRAINING), strict=True))
    assert runs.ended["good"]["code"] == 0, runs.ended["good"]["err"]
    return runs


def last_line(ended):
    """The last line on stderr, after lines of progress; none of them may be a traceback."""
    assert "Traceback" not in ended["err"] and "Error:" not in ended["err"], ended["err"]
    return ended["err"].splitlines()[-1]


def test_memory_that_runs_out_is_one_line_with_what_to_turn(runs):
    ended = runs.ended["no memory"]
    assert ended["code"] == 1
    said = last_line(ended)
    assert said.startswith("stop_at: out of memory (") and "lower batch_size or data.length, raise accumulate" in said


def test_a_cell_without_memory_says_so_in_its_file(tmp_path, monkeypatch):
    def run_cell(workdir, kept):
        raise MemoryError("Unable to allocate 9.0 GiB for an array")

    monkeypatch.setattr(one_cell, "run_cell", run_cell)
    with pytest.raises(MemoryError):
        one_cell.run_and_tell(tmp_path)
    assert read_json(tmp_path / "failed.json")["error"].startswith("out of memory (9.0 GiB could not be had): lower")


@pytest.mark.parametrize("turn", [None, "lower --length"])
def test_every_program_ends_so_and_may_say_what_to_turn_itself(turn, monkeypatch):
    def fail(line, code):
        raise SystemExit(f"{code}: {line}")

    def main():
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 72 bytes.")

    monkeypatch.setattr(program, "_fail", fail)
    with pytest.raises(SystemExit, match=turn or "batch_size") as end:
        program._guarded(main, **({} if turn is None else {"turn": turn}))
    assert str(end.value).startswith("1: out of memory (72 bytes could not be had): ")


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(runs):
    ended = runs.ended["not finite"]
    assert ended["code"] == 1
    assert last_line(ended) == ("train: the loss or its gradient is not finite at step 2; there is no checkpoint yet; "
                                "lower optimizer.learning_rate or lengthen optimizer.warmup_steps")
    assert not (runs.directory / "not_finite" / "result.json").exists()


def test_a_loss_that_stops_being_finite_leaves_the_last_good_checkpoint(runs):
    ended = runs.ended["not finite later"]
    assert ended["code"] == 1
    line = last_line(ended)
    assert "not finite" in line
    steps = sorted(int(path.name) for path in (runs.directory / "not_finite_later" / "checkpoints").iterdir())
    assert steps and f"; the last good checkpoint is step {steps[-1]};" in line
    arrays = final_state(runs.directory / "not_finite_later")
    assert all(np.isfinite(value).all() for value in arrays.values())


def test_a_full_disk_is_one_line_and_once_there_is_space_the_run_goes_on(runs):
    ended = runs.ended["disk full in training"]
    assert ended["code"] == 1
    assert "no space left on the disk; free some and run the same command again" in last_line(ended)
    assert not (runs.directory / "disk_full" / "result.json").exists()
    [again] = many([runs.train("disk_full")], TRAINING)
    assert again["code"] == 0, again["err"]
    assert "resuming at step 8 of 24" in again["err"]
    assert_same_run(runs.directory / "disk_full", runs.directory / "good")


def test_a_full_disk_or_ctrl_c_while_preparing_leaves_nothing_half_written(runs):
    full, interrupted = runs.ended["disk full in encoding"], runs.ended["Ctrl-C in encoding"]
    assert (full["code"], interrupted["code"]) == (1, 130)
    assert "no space left on the disk" in last_line(full)
    assert last_line(interrupted) == "stop_at: interrupted; the same command goes on from what is saved"
    for cache in ("full", "interrupted_cache"):
        tokens = runs.directory / cache / "tokens"
        assert tokens.is_dir(), "the moment came before anything was encoded"
        assert list(tokens.iterdir()) == []


def test_another_config_and_another_process_are_refused(runs):
    busy = runs.directory / "busy"
    busy.mkdir()
    with open(busy / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other, second = many([runs.train("good", steps=25, model__depth=2), runs.train("busy")], TRAINING)
    assert_one_line(other, ("good: this directory belongs to another config: ", "model.depth (1 there, 2 now)",
                            "steps (24 there, 25 now)", "use another --workdir"), code=1)
    assert_one_line(second, "busy: another process is working in this directory", code=1)
    assert [path.name for path in busy.iterdir()] == [".lock"]


def test_a_damaged_checkpoint_is_named_and_the_run_goes_on_from_the_one_before(runs):
    damaged, hopeless = runs.copy("damaged"), runs.copy("hopeless")
    for directory in (damaged / "checkpoints" / "24", *(hopeless / "checkpoints").iterdir()):
        damage_a_byte(max((p for p in directory.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size))
    fallen_back, refused = many([runs.train("damaged"), runs.train("hopeless")], TRAINING)
    assert fallen_back["code"] == 0, fallen_back["err"]
    assert f"{damaged}/checkpoints/24: damaged checkpoint (" in fallen_back["err"]
    assert "resuming at step 16 of 24" in fallen_back["err"]
    last_line(fallen_back)
    assert_same_run(damaged, runs.directory / "good")
    assert refused["code"] == 1
    assert last_line(refused).startswith(f"train: {hopeless}/checkpoints: every checkpoint is damaged; ")


def test_a_damaged_token_store_is_named_and_encoded_again_or_refused(runs):
    home = next((runs.cache / "tokens").iterdir())
    given = shutil.copytree(home, runs.directory / "tokens")
    for store in (home, given):
        damage_a_byte(store / "train" / "tokens.bin")
    again, refused = many([runs.train("again"), runs.train("given", data__corpus=f"tokens:{given}")], TRAINING)
    assert again["code"] == 0, again["err"]
    assert f"{home}/train/tokens.bin: its content is not what meta.json says: damaged; encoding" in again["err"]
    assert_same_run(runs.directory / "again", runs.directory / "good")
    assert_one_line(refused, f"{given}/train/tokens.bin: its content is not what meta.json says: damaged", code=1)


def damage_a_byte(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_disk_that_is_really_full(runs, tmp_path):
    """As above, but with TensorStore's own writes failing too: the workdir lies on a disk of 300 kB."""
    script = f"mount -t tmpfs -o size=300k none {tmp_path} && exec \"$@\""
    alone = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody but root mount a file system")
    flags = [f"--workdir={tmp_path}/run", *runs.flags("unused")[1:]]
    ended = subprocess.run([*alone, sys.executable, "-m", TRAIN, *flags], cwd=ROOT, env=environment(), text=True,
                           capture_output=True)
    assert ended.returncode == 1
    assert "no space left on the disk" in last_line({"err": ended.stderr})
