"""Cells of a study that are trained with their siblings, and groups of runs that are a command of their own."""

import contextlib
import functools
import os

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.settings import from_dict, override
from arch_zoo.training.layout import CONFIG_FILE, RESULT_FILE
from arch_zoo.training.loop import train_together
from arch_zoo.training.metrics import read_metrics
from arch_zoo.training.programs import Programs, _without_knobs
from experiments import program
from experiments.report import build_report
from experiments.studies import together
from experiments.studies.config import Arm, Tuning
from experiments.studies.layout import TRAINING_FILE
from experiments.studies.one_cell import run_cell
from experiments.studies.queue import take
from tests.experiments.small_study import base_in, planned, study_of
from tests.runs import TRAINING, assert_one_line, many

RATES = (1e-3, 3e-3)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return base_in(tmp_path_factory.mktemp("group"))


class EveryProgram:
    """In place of LastPrograms: tests that train alike compile once, whatever is trained in between."""

    def __init__(self):
        self._made = functools.cache(Programs)

    def of(self, config: RunConfig, vocab_size: int) -> Programs:
        return self._made(_without_knobs(config).replace(vectorize=()), vocab_size)


@pytest.fixture(scope="module")
def kept():
    return EveryProgram()


def test_a_cell_trains_its_siblings_which_then_have_only_to_be_measured(base, kept, tmp_path, monkeypatch):
    cells = planned(study_of(override(base, {"vectorize": "seeds"})), tmp_path / "group")
    first, second, third = (cells[f"cells/only/seed_{seed}"].directory for seed in range(3))
    held = take(cells["cells/only/seed_2"])  # another runner has it
    run_cell(first, kept)
    os.close(held)
    assert (first / RESULT_FILE).exists() and not (second / RESULT_FILE).exists()
    assert (second / TRAINING_FILE).exists() and not (third / TRAINING_FILE).exists()
    with monkeypatch.context() as patch:
        patch.setattr(together, "joined", None)  # nothing is trained again
        run_cell(second, kept)
    run_cell(third, kept)
    alone = planned(study_of(base), tmp_path / "alone")
    for seed, directory in enumerate((first, second, third)):
        other = alone[f"cells/only/seed_{seed}"].directory
        run_cell(other, kept)
        ours, theirs = (read_json(place / RESULT_FILE)["evaluation_loss"] for place in (directory, other))
        assert ours == pytest.approx(theirs, rel=1e-5)


def test_a_group_is_no_larger_than_what_fits_in_memory(base, kept, tmp_path, monkeypatch):
    cells = planned(study_of(override(base, {"vectorize": "seeds"})), tmp_path)
    monkeypatch.setattr(together, "members_that_fit", lambda config, vocabulary, at_most: 2)
    run_cell(cells["cells/only/seed_0"].directory, kept)
    assert [(cell.directory / TRAINING_FILE).exists() for cell in cells.values()] == [True, True, False]


def test_rates_on_trial_are_one_program_and_what_waits_for_them_is_not(base, kept, tmp_path):
    tuning = Tuning(rates=RATES, share=0.5)
    study = study_of(override(base, {"vectorize": "seeds,learning_rate"}), tuning=tuning, seeds=2)
    cells = planned(study, tmp_path)
    trials = [cell.directory for name, cell in cells.items() if name.startswith("tuning")]
    run_cell(trials[0], kept)
    assert all((place / TRAINING_FILE).exists() for place in trials)
    with pytest.raises(UserError):  # its rate is not known yet
        run_cell(cells["cells/only/seed_1"].directory, kept)
    run_cell(trials[1], kept)
    run_cell(cells["cells/only/seed_1"].directory, kept)
    losses = {rate: read_json(place / RESULT_FILE)["evaluation_loss"]
              for rate, place in zip(RATES, trials, strict=True)}
    for seed in range(2):
        config = from_dict(RunConfig, read_json(cells[f"cells/only/seed_{seed}"].directory / CONFIG_FILE))
        assert (config.seed, config.optimizer.learning_rate) == (seed, min(losses, key=losses.get))


def test_without_being_asked_cells_of_a_cpu_are_trained_by_themselves(base, monkeypatch):
    assert together.differ_in(base) == ()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert together.differ_in(base) == ("seeds", "learning_rate")
    assert together.differ_in(override(base, {"vectorize": "seeds"})) == ("seeds",)
    assert not {"seeds", "learning_rate"} & set(together.differ_in(override(base, {"vectorize": "nothing"})))
    with pytest.raises(UserError, match="nothing and something"):
        override(base, {"vectorize": "nothing,seeds"})


def test_what_cannot_be_trained_here_is_let_go_for_other_runners(base, tmp_path):
    study = study_of(base, arms=(Arm("first", {}), Arm("then", {}, starts_from="first")), count_preparation=False)
    cells = planned(study, tmp_path)
    waiting = cells["cells/then/seed_0"]
    with contextlib.ExitStack() as held:
        assert together._held(waiting.directory, held) is None
        lock = take(waiting)  # by another runner
        assert lock is not None
        os.close(lock)


def test_a_group_is_a_command_whose_members_are_ordinary_runs(base, kept, tmp_path, monkeypatch, undrawn):
    monkeypatch.setattr(program, "command", lambda: "a command")
    monkeypatch.setattr(together, "train_together", functools.partial(train_together, kept=kept))
    config = override(base, {"vectorize": "seeds,learning_rate", "seed": 5})
    assert together.train_group(config, tmp_path, 2, ["1e-3", "3e-3"]) is None
    members = {seed: tmp_path / "learning_rate_0_003" / f"seed_{seed}" for seed in (5, 6)}
    for seed, place in members.items():
        assert from_dict(RunConfig, read_json(place / CONFIG_FILE)) == override(
            base, {"seed": seed, "optimizer.learning_rate": 3e-3})
        assert [line["step"] for line in read_metrics(place) if "train/loss" in line] == [2, 4]
    before = {place: (place / RESULT_FILE).stat().st_mtime_ns for place in members.values()}
    (members[6] / RESULT_FILE).unlink()
    assert together.train_group(config, tmp_path, 2, ["1e-3", "3e-3"]) is None  # only what is missing
    assert (members[5] / RESULT_FILE).stat().st_mtime_ns == before[members[5]] and (members[6] / RESULT_FILE).exists()
    assert together.train_group(config, tmp_path, 1, ["2e-3"]) is None  # others join them
    assert list(read_json(tmp_path / "study.json")["configs"]) == [
        f"learning_rate_0_00{rate}" for rate in (1, 3, 2)] and read_json(tmp_path / "study.json")["seeds"] == [5, 6]
    assert build_report(tmp_path).exists()
    losses = [read_json(place / RESULT_FILE)["evaluation_loss"] for place in members.values()]
    assert np.isfinite(losses).all() and losses[0] != losses[1]


def test_flags_that_do_not_fit_are_one_line(tmp_path):
    together = "--config.vectorize=seeds and --seeds belong together"
    wrong = {("--config.vectorize=seeds",): together, ("--seeds=3",): together,
             ("--config.vectorize=seed",): "vectorize",
             ("--config.vectorize=learning_rate", "--learning_rates=1e-3,fast"): "optimizer.learning_rate",
             ("--config.vectorize=learning_rate", "--learning_rates="): "--learning_rates= names none"}
    ended = many([("experiments.train", ["--config=configs/base.py", f"--workdir={tmp_path / 'x'}", *flags])
                  for flags in wrong], TRAINING)
    for message, one in zip(wrong.values(), ended, strict=True):
        assert_one_line(one, message)
    assert not (tmp_path / "x").exists()
