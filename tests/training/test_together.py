"""Runs trained as one program: each is what it is alone, ends alone, and goes on alone or with others."""

import pathlib

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import Interrupted, NotFinite, UserError
from arch_zoo.settings import override
from arch_zoo.training import loop
from arch_zoo.training.checkpoints import Checkpoints, read_parameters
from arch_zoo.training.loop import train, train_together
from arch_zoo.training.metrics import read_metrics
from arch_zoo.training.parallel import Together, choose_devices, make_parallel
from arch_zoo.training.programs import LastPrograms
from tests.evaluation.toy_text import documents
from tests.toy import tiny_config

CHANGES = dict(model__depth=1, data__length=24, batch_size=4, steps=6, log_every=2, evaluate_every=3,
               evaluate_batches=2, checkpoint_every=3, model__residual_dropout=0.1, devices=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    for seed, (split, count) in enumerate({"train": 60, "validation": 12, "test": 12}.items()):
        (folder / f"{split}.txt").write_text("\n\n".join(documents(seed, count)))
    config = tiny_config(**CHANGES, data__tokenizer__vocab_size=340, data__corpus=str(folder),
                         data__cache_dir=str(folder / "cache"))
    return config, prepare_data(config.data)


def members(config: RunConfig) -> list[RunConfig]:
    rates = (1e-3, 3e-3, 1e-3)
    return [override(config, {"seed": seed, "optimizer.learning_rate": rate}) for seed, rate in enumerate(rates)]


def folders(root: pathlib.Path, count: int = 3) -> list[pathlib.Path]:
    made = [root / str(number) for number in range(count)]
    for folder in made:
        folder.mkdir(parents=True, exist_ok=True)
    return made


def losses(folder: pathlib.Path, name: str = "train/loss") -> list[float]:
    return [line[name] for line in read_metrics(folder) if name in line]


@pytest.fixture(scope="module")
def kept() -> LastPrograms:
    """What the config of `made` compiles, for one and for three."""
    return LastPrograms()


@pytest.fixture(scope="module")
def alone(made, kept, tmp_path_factory):
    config, data = made
    where = folders(tmp_path_factory.mktemp("alone"))
    results = [train(one, data, folder, kept=kept) for one, folder in zip(members(config), where, strict=True)]
    return where, results


def assert_same(folder, other, rtol=1e-4):
    for name in ("train/loss", "eval/loss", "train/learning_rate"):
        np.testing.assert_allclose(losses(folder, name), losses(other, name), rtol=rtol)
    a, b = (read_parameters(one / "checkpoints") for one in (folder, other))
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-3, atol=2e-5), a, b)


def test_a_member_is_what_it_is_alone(made, kept, alone, tmp_path):
    config, data = made
    where, results = folders(tmp_path), alone[1]
    found = train_together(members(config), data, where, kept=kept)
    for folder, other, ours, theirs in zip(where, alone[0], found, results, strict=True):
        assert_same(folder, other)
        assert ours.keys() == theirs.keys() and ours["loss_tokens"] == theirs["loss_tokens"]
        assert Checkpoints(folder / "checkpoints").steps() == [3, 6]
    assert losses(where[0]) != losses(where[1]) != losses(where[2])
    assert losses(where[0])[0] != losses(where[2])[0]


def test_members_cannot_reach_each_other(made, kept, alone, tmp_path):
    """Bitwise: another member's seed and rate change nothing in this one's program."""
    config, data = made
    one, two, three = members(config)
    for name, others in (("a", [two, three]), ("b", [three.replace(seed=9), one])):
        train_together([one, *others], data, folders(tmp_path / name), kept=kept)
    a, b = (read_parameters(tmp_path / name / "0" / "checkpoints") for name in "ab")
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_loss_that_is_not_finite_ends_its_own_run_only(made, kept, alone, tmp_path):
    config, data = made
    configs = members(config)
    configs[1] = override(configs[1], {"optimizer.learning_rate": 1e30})
    where = folders(tmp_path)
    found = train_together(configs, data, where, kept=kept)
    assert isinstance(found[1], NotFinite) and "lower optimizer.learning_rate" in str(found[1])
    assert found[0]["steps"] == found[2]["steps"] == 6
    assert all(np.isfinite(losses(folder)).all() for folder in where)


def stopped(monkeypatch, config, data, where, step, kept):
    """Trained up to a step, as if asked to stop there."""
    class Stop(loop._StopOnSignal):
        asked = property(lambda self: self.count(), lambda self, value: None)

        def count(self):
            self.seen = getattr(self, "seen", 0) + 1
            return self.seen == step

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_StopOnSignal", Stop)
        with pytest.raises(Interrupted, match=f"stopped at step {step} of 6"):
            train_together(config, data, where, kept=kept)


def test_a_group_goes_on_together_alone_and_from_different_steps(made, kept, alone, tmp_path, monkeypatch):
    config, data = made
    configs, where = members(config), folders(tmp_path)
    stopped(monkeypatch, configs, data, where, 4, kept)
    train(configs[0], data, where[0], kept=kept)  # one goes on by itself, and stands where the others do not
    train_together(configs, data, where, kept=kept)
    for folder, other in zip(where, alone[0], strict=True):
        assert_same(folder, other)
        assert [line["step"] for line in read_metrics(folder) if "train/loss" in line] == [2, 4, 6]


def test_the_states_that_members_begin_with_do_not_stay_on_the_device(made, kept, tmp_path, monkeypatch):
    config, data = made
    step, live = loop._Run._one_step, []

    def bytes_alive() -> int:
        return sum(array.nbytes for array in jax.live_arrays() if not array.is_deleted())

    def looked_at(self, number):
        step(self, number)
        live.append((bytes_alive() - before, sum(leaf.nbytes for leaf in jax.tree.leaves(self.state))))

    monkeypatch.setattr(loop._Run, "_one_step", looked_at)
    before = bytes_alive()
    train_together(members(config), data, folders(tmp_path), kept=kept)
    alive, joined = live[0]
    assert joined <= alive < 1.3 * joined


def test_what_may_not_differ_is_named(made, tmp_path):
    config, data = made
    with pytest.raises(UserError, match=r"differ in seed and optimizer.learning_rate alone, and these in batch_size"):
        train_together([config, config.replace(batch_size=8, seed=1)], data, folders(tmp_path, 2))
    with pytest.raises(UserError, match="vectorize needs parallel=jit"):
        make_parallel("pmap", choose_devices(2), 8, 1).together()


def test_eight_devices_share_the_batches_of_every_member(made, alone, tmp_path):
    config, data = made
    where = folders(tmp_path)
    train_together([one.replace(devices=4) for one in members(config)], data, where)
    for folder, other in zip(where, alone[0], strict=True):
        assert_same(folder, other)
    assert isinstance(make_parallel("jit", choose_devices(4), 4, 1).together(), Together)
