"""A process that trains run after run compiles once for all that differ in seed or learning rate alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import Interrupted, UserError
from arch_zoo.settings import override
from arch_zoo.training import loop
from arch_zoo.training.batches import training_batches
from arch_zoo.training.checkpoints import read_parameters
from arch_zoo.training.loop import train, train_together
from arch_zoo.training.metrics import read_metrics
from arch_zoo.training.parallel import Parallel, Pmap
from arch_zoo.training.programs import LastPrograms
from arch_zoo.training.starting import write_given_parameters
from tests.evaluation.toy_text import documents
from tests.toy import tiny_config


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    for seed, (split, count) in enumerate({"train": 60, "validation": 12, "test": 12}.items()):
        (folder / f"{split}.txt").write_text("\n\n".join(documents(seed, count)))
    config = tiny_config(model__depth=1, model__residual_dropout=0.1, data__length=24, batch_size=4, steps=4,
                         log_every=2, evaluate_every=2, evaluate_batches=2, checkpoint_every=2, devices=1,
                         data__tokenizer__vocab_size=340, data__corpus=str(folder),
                         data__cache_dir=str(folder / "cache"))
    return config, prepare_data(config.data)


@pytest.fixture(scope="module")
def first(made, tmp_path_factory):
    """A run on one device: (the programs that it leaves, its directory, its result)."""
    kept, folder = LastPrograms(), tmp_path_factory.mktemp("first")
    return kept, folder, train(with_knobs(made[0], 0, 1e-3), made[1], folder, kept=kept)


@pytest.fixture
def compiled(monkeypatch) -> list:
    """A growing list: one entry for each program of a step that was made."""
    found = []
    for kind in (Parallel, Pmap):
        monkeypatch.setattr(kind, "compile_train", lambda self, step, real=kind.compile_train: found.append(step)
                            or real(self, step))
    return found


def with_knobs(config: RunConfig, seed: int, rate: float) -> RunConfig:
    return override(config, {"seed": seed, "optimizer.learning_rate": rate})


def said(folder) -> list[float]:
    return [line[name] for line in read_metrics(folder) for name in ("train/loss", "eval/loss", "train/learning_rate")
            if name in line]


def assert_same_parameters(folder, other):
    ours, theirs = (read_parameters(one / "checkpoints") for one in (folder, other))
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_what_was_compiled_serves_the_next_run_and_it_is_what_it_is_in_a_process_of_its_own(made, first, compiled,
                                                                                            tmp_path):
    config, data = made
    kept, before, result = first
    second = with_knobs(config, 1, 3e-3)
    found = train(second, data, tmp_path / "kept", kept=kept)
    assert not compiled and result["compile_seconds"] > 0 and found["compile_seconds"] is None
    train(second, data, tmp_path / "own")
    assert len(compiled) == 1 and said(tmp_path / "kept") == said(tmp_path / "own") != said(before)
    assert_same_parameters(tmp_path / "kept", tmp_path / "own")


@pytest.mark.parametrize("spread", [{"devices": 1}, {"devices": 4, "mesh": "data:2,fsdp:2"},
                                    {"devices": 2, "parallel": "pmap"}], ids=["one", "mesh", "pmap"])
def test_a_run_that_resumes_or_starts_from_another_shares_them_too(made, compiled, tmp_path, monkeypatch, spread):
    config, data = override(made[0], spread), made[1]
    kept, others = LastPrograms(), LastPrograms()
    train(with_knobs(config, 0, 1e-3), data, tmp_path / "first", kept=kept)
    with monkeypatch.context() as patch:
        patch.setattr(loop.processes, "any_says", lambda asked, now: True)
        with pytest.raises(Interrupted):
            train(with_knobs(config, 1, 1e-3), data, tmp_path / "second", kept=kept)
    train(with_knobs(config, 1, 1e-3), data, tmp_path / "second", kept=kept)
    started = with_knobs(config, 2, 1e-3).replace(start_from=str(tmp_path / "first"))
    train(started, data, tmp_path / "third", kept=kept)
    assert len(compiled) == 1
    train(started, data, tmp_path / "third alone", kept=others)  # compiled for it
    train(with_knobs(config, 1, 1e-3), data, tmp_path / "second alone", kept=others)  # never interrupted
    assert len(compiled) == 2
    for name in ("second", "third"):
        assert_same_parameters(tmp_path / name, tmp_path / f"{name} alone")


def test_programs_that_cannot_be_made_are_not_kept(made):
    config, data = made
    kept, size = LastPrograms(), data.tokenizer.vocabulary.size
    kept.of(config, size)
    with pytest.raises(UserError):
        kept.of(config.replace(devices=999), size)
    assert kept.of(config, size) is not None


def test_a_run_begins_in_its_own_types_whatever_it_is_given(made, first, compiled, tmp_path):
    config, data = made
    kept, before, _ = first
    (tmp_path / "given").mkdir()
    reached = read_parameters(before / "checkpoints")
    write_given_parameters(tmp_path / "given", jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), reached))
    train(with_knobs(config, 0, 1e-3), data, tmp_path / "given", kept=kept)
    assert not compiled
    found = read_parameters(tmp_path / "given" / "checkpoints")
    assert {leaf.dtype for leaf in jax.tree.leaves(found)} == {np.dtype(np.float32)}


def test_shapes_of_the_state_are_those_of_the_state(made, first):
    config, data = made
    one = first[0].of(config, data.tokenizer.vocabulary.size)
    batch = training_batches(config, data).batch_at(0, one.alone.rows)
    state = one.initial_state(batch, np.uint32(0))

    def check(leaf, wanted):
        assert (leaf.shape, leaf.dtype) == (wanted.shape, wanted.dtype)
        assert leaf.sharding.is_equivalent_to(wanted.sharding, leaf.ndim)

    jax.tree.map(check, state, one.abstract_state(batch))


def test_members_together_and_one_alone_have_programs_of_their_own(made, first, compiled, tmp_path):
    config, data = made
    kept = first[0]
    pair = [with_knobs(config, seed, 1e-3) for seed in (1, 2)]
    train_together(pair, data, [tmp_path / "two", tmp_path / "three"], kept=kept)
    assert len(compiled) == 1
    train_together(pair, data, [tmp_path / "four", tmp_path / "five"], kept=kept)
    assert len(compiled) == 1
    assert said(tmp_path / "two") == said(tmp_path / "four")


@pytest.mark.parametrize("path, value", [("steps", 6), ("model.residual_dropout", 0.2), ("optimizer.b2", 0.9),
                                         ("data.length", 16), ("objective", "masked_lm"), ("accumulate", 2)])
def test_whatever_else_differs_has_programs_of_its_own(made, path, value):
    """Negative control of the first test: a program that served such a run would be the wrong one."""
    config, data = made
    kept, size = LastPrograms(), data.tokenizer.vocabulary.size
    first = kept.of(config, size)
    assert kept.of(with_knobs(config, 5, 1e-2), size) is first
    assert kept.of(config, size + 1) is not first
    changes = {path: value} | ({"model.architecture": "encoder_only"} if path == "objective" else {})
    assert kept.of(override(config, changes), size) is not kept.of(config, size)
