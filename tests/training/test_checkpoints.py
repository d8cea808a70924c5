"""Checkpoints: what is kept, that it comes back bit for bit, and that a damaged one is noticed and passed over."""

import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.training.checkpoints import Checkpoints
from arch_zoo.training.state import TrainState

# After a failed read Orbax leaves tasks behind that complain when they are collected.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::RuntimeWarning")
NOTES = {"seconds": 1.5, "evaluation_loss": None, "pending": [{"loss_sum": 0.1 + 0.2}]}


def make_state(step, seed=0):
    """A state with the types that training has, and values that a rounding would change."""
    key = jax.random.key(seed)
    parameters = {"kernel": jax.random.normal(key, (7, 3)) / 3, "scale": jnp.float32([1e-42, -0.0, jnp.pi])}
    return TrainState(jnp.int32(step), parameters, (jax.tree.map(jnp.square, parameters), {"count": jnp.int32(step)}))


@pytest.fixture
def checkpoints(tmp_path):
    opened = Checkpoints(tmp_path / "checkpoints")
    yield opened
    opened.close()


def abstract(state):
    return jax.eval_shape(lambda: state)


def save(checkpoints, losses):
    """Save a state at each step of {step: loss}, all different."""
    for step, loss in losses.items():
        checkpoints.save(step, make_state(step, seed=step), {**NOTES, "step": step}, loss)
    checkpoints.wait()


def assert_bitwise(restored, state):
    assert jax.tree.structure(restored) == jax.tree.structure(state)
    for a, b in zip(jax.tree.leaves(restored), jax.tree.leaves(state), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_what_was_saved_comes_back_bit_for_bit(checkpoints):
    save(checkpoints, {5: 1.0})
    state = make_state(5, seed=5)
    restored, notes = checkpoints.restore_latest(abstract(state))
    assert_bitwise(restored, state)
    assert {**notes, "checksum": None} == {**NOTES, "step": 5, "checksum": None}
    with pytest.raises(AssertionError):
        assert_bitwise(restored, make_state(5, seed=6))


def test_there_may_be_no_checkpoint(checkpoints):
    assert checkpoints.steps() == []
    assert checkpoints.restore_latest(abstract(make_state(0))) is None
    with pytest.raises(UserError, match="no checkpoint"):
        checkpoints.best_step()


def test_the_latest_two_and_the_best_are_kept(checkpoints, tmp_path):
    save(checkpoints, {1: 3.0, 2: 1.0, 3: 2.0, 4: 2.5, 5: 2.2})
    assert checkpoints.steps() == [2, 4, 5]
    assert checkpoints.best_step() == 2
    reopened = Checkpoints(tmp_path / "checkpoints")
    assert (reopened.steps(), reopened.best_step()) == ([2, 4, 5], 2)
    save(reopened, {6: 0.5, 7: 9.0, 8: 8.0})
    assert reopened.steps() == [6, 7, 8]
    reopened.close()


def test_a_save_does_not_see_what_training_does_next(checkpoints):
    """The next step gives the state's memory to its successor, and the loop appends to lists in the notes."""
    state, notes = make_state(1), {"pending": [1.0]}
    expected = jax.tree.map(np.array, state)
    next_step = jax.jit(lambda s: jax.tree.map(lambda x: x + 1, s), donate_argnums=0)
    next_step(make_state(0))  # compiled before, so that it is quicker than the writer
    checkpoints.save(1, state, notes, 1.0)
    later = next_step(state)
    notes["pending"].append(jnp.ones(()))  # not even JSON
    for _ in range(20):
        later = next_step(later)
    assert jax.tree.leaves(state)[0].is_deleted(), "nothing was donated: this test shows nothing"
    checkpoints.wait()
    restored, kept = checkpoints.restore_latest(abstract(make_state(0)))
    assert_bitwise(restored, expected)
    assert kept["pending"] == [1.0]


def data_file(directory):
    """The largest file of a checkpoint: the one with the arrays."""
    return max((path for path in directory.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


def flip_a_byte(directory):
    path = data_file(directory)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut_off(directory):
    path = data_file(directory)
    path.write_bytes(path.read_bytes()[:-10])


DAMAGE = {"a byte": flip_a_byte, "the end": cut_off, "a file": lambda directory: data_file(directory).unlink(),
          "the arrays": lambda directory: shutil.rmtree(directory / "state"),
          "the notes": lambda directory: shutil.rmtree(directory / "notes"),
          "everything": lambda directory: [shutil.rmtree(path) for path in directory.iterdir() if path.is_dir()]}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_checkpoint_is_named_and_passed_over(tmp_path, caplog, damage):
    directory = tmp_path / "checkpoints"
    first = Checkpoints(directory)
    save(first, {1: 3.0, 2: 2.0, 3: 1.0})
    first.close()
    damage(directory / "3")
    again = Checkpoints(directory)
    restored, notes = again.restore_latest(abstract(make_state(0)))
    assert notes["step"] == 2
    assert_bitwise(restored, make_state(2, seed=2))
    warnings = [record.getMessage() for record in caplog.records if "falling back" in record.getMessage()]
    assert len(warnings) == 1
    assert f"{directory / '3'}: damaged checkpoint (" in warnings[0]
    assert "\n" not in warnings[0]
    assert again.steps() == [2]
    assert again.best_step() == 2
    save(again, {3: 1.0})  # training goes on and comes to the same step
    assert again.steps() == [2, 3]
    again.close()


def test_where_all_are_damaged_nothing_is_made_up(tmp_path):
    directory = tmp_path / "checkpoints"
    first = Checkpoints(directory)
    save(first, {1: 2.0, 2: 1.0})
    first.close()
    for step in ("1", "2"):
        flip_a_byte(directory / step)
    again = Checkpoints(directory)
    with pytest.raises(UserError, match="every checkpoint is damaged; delete"):
        again.restore_latest(abstract(make_state(0)))
    again.close()


def test_a_checkpoint_of_another_model_is_not_restored(checkpoints):
    save(checkpoints, {1: 1.0})
    other = make_state(1)
    other.parameters["kernel"] = jnp.zeros((7, 4))
    with pytest.raises(UserError, match="1: damaged checkpoint"):
        checkpoints.restore(1, abstract(other))


@pytest.mark.parametrize("left", [(), ("state",), ("notes", "state"), ("metrics",)], ids="-".join)
def test_what_a_kill_in_the_middle_of_deleting_leaves_does_no_harm(tmp_path, left):
    directory = tmp_path / "checkpoints"
    first = Checkpoints(directory)
    save(first, {1: 3.0, 2: 2.0, 3: 1.0})
    first.close()
    shutil.copytree(directory / "2", directory / "1")
    for item in ("state", "notes", "metrics"):
        if item not in left:
            shutil.rmtree(directory / "1" / item)
    again = Checkpoints(directory)
    assert again.restore_latest(abstract(make_state(0)))[1]["step"] == 3
    assert again.best_step() == 3
    save(again, {4: 4.0, 5: 5.0})
    assert again.steps() == [3, 4, 5]
    assert again.best_step() == 3
    again.close()
