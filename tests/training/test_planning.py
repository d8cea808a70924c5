"""What a run needs: XLA's analysis against what is known, and the search for the largest batch."""

import functools
import math
import types

import jax
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.flops import model_flops
from arch_zoo.layers import placement
from arch_zoo.machine import _group_memory, free_memory
from arch_zoo.training import planning
from arch_zoo.training.planning import CompiledShapes, abstract_batch, largest_batch, make_plan, members_that_fit
from tests.toy import SIZE, WITHOUT_BIASES, compatible_pairs, tiny_config, toy_batch, toy_vocabulary

DEVICES = jax.devices()[:1]
CASES = {
    "plain": {}, "accumulate, bfloat16": {"accumulate": 2, "dtype": "bfloat16"},
    "remat, scan": {"model__remat": True, "model__scan": True}, "pmap": {"parallel": "pmap"},
    "encoder-decoder": {"model__architecture": "encoder_decoder", "objective": "span_corruption"},
    "electra": {"model__architecture": "encoder_only", "objective": "electra"},
    "adafactor": {"optimizer__kind": "adafactor"},
}


def small(**changes):
    return tiny_config(**{"model__depth": 1, **WITHOUT_BIASES, **changes})


@functools.cache
def _compiled(config, members, as_members, count):
    return CompiledShapes(config, toy_vocabulary(), jax.devices()[:count], members)


@pytest.fixture(autouse=True)
def compiled_once(monkeypatch):
    """All plans over the toy vocabulary share what was compiled for the same config."""
    monkeypatch.setattr(planning, "CompiledShapes", lambda config, vocabulary, devices, members=1: _compiled(
        config, members, placement.has_members(), len(devices)))


@pytest.mark.parametrize(("architecture", "objective"), compatible_pairs())
def test_the_plans_batch_has_the_shapes_and_types_of_training(architecture, objective):
    config = tiny_config(model__architecture=architecture, objective=objective)
    real = jax.tree.map(lambda x: (np.shape(x), np.asarray(x).dtype), toy_batch(config))
    assert jax.tree.map(lambda x: (x.shape, x.dtype), abstract_batch(config, toy_vocabulary())) == real


@pytest.mark.parametrize("changes", CASES.values(), ids=CASES)
def test_what_xla_says_of_a_step(changes):
    config = small(**changes)
    compiled = CompiledShapes(config, toy_vocabulary(), DEVICES)
    memory, parameters = compiled.memory, sum(leaf.size for leaf in jax.tree.leaves(compiled.state.parameters))
    assert memory.parameters == 4 * parameters
    if config.optimizer.kind == "adamw":
        assert 2 <= memory.optimizer / memory.parameters < 2.1
    batch = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(abstract_batch(config, toy_vocabulary())))
    assert 0 < memory.batch <= batch + 64
    assert memory.within > memory.parameters / 2  # gradients at least
    assert memory.step == memory.state + memory.batch + memory.within < memory.run
    assert compiled.flops >= model_flops(config, SIZE)


def test_as_many_runs_fit_together_as_the_memory_has_room_for():
    config, vocabulary = small(devices=1), toy_vocabulary()
    one, two = (CompiledShapes(config, vocabulary, DEVICES, members).memory.run for members in (1, 2))
    rooms = {one // 2: 1, one: 1, two: 2, two - 1: 1}
    assert {room: members_that_fit(config, vocabulary, 2, room) for room in rooms} == rooms
    assert members_that_fit(config, vocabulary, 3) == 3


@pytest.mark.parametrize(("of_a_group", "fit"), [(lambda members: members, 8), (lambda members: 2 * members, 4),
                                                 (lambda members: 2 + members, 6)])
def test_a_group_is_measured_as_such_and_one_run_as_a_member(of_a_group, fit, monkeypatch):
    """Whatever a group needs beside a run by itself, what is returned fits."""
    class Shapes:
        def __init__(self, config, vocabulary, devices, members=1):
            alone = 1 if placement.has_members() else 9
            self.memory = types.SimpleNamespace(run=alone if members == 1 else of_a_group(members))

    monkeypatch.setattr(planning, "CompiledShapes", Shapes)
    assert members_that_fit(small(devices=1), toy_vocabulary(), 20, room=8) == fit


def test_a_group_that_the_compiler_has_no_room_for_is_halved(monkeypatch):
    class Shapes:
        def __init__(self, config, vocabulary, devices, members=1):
            if members > 5:
                raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 123 bytes.")
            self.memory = types.SimpleNamespace(run=members)

    monkeypatch.setattr(planning, "CompiledShapes", Shapes)
    assert members_that_fit(small(devices=1), toy_vocabulary(), 20, room=8) == 4


def test_what_saves_memory_is_seen_to_save_it():
    def within(**changes):
        return CompiledShapes(tiny_config(model__depth=4, model__scan=True, batch_size=16, **changes),
                              toy_vocabulary(), DEVICES).memory.within

    plain = within()
    assert within(accumulate=4) < plain
    assert within(model__remat=True) < plain


@pytest.mark.parametrize("room", [0, 99, 100, 1000, 12345, 10**9])
@pytest.mark.parametrize("known", [4, 32, 400])
def test_the_largest_batch_of_a_line_is_found_exactly(room, known):
    asked = []

    def bytes_of(size):
        asked.append(size)
        return 60 + 10 * size

    most = 64 * known
    expected = min(max(0, (room - 60) // 10) // 4 * 4, most)
    assert largest_batch(bytes_of, room, 4, known) == (expected, expected < most)
    assert len(asked) <= 6 and all(size % 4 == 0 for size in asked)


@pytest.mark.parametrize("bend", [lambda n: 100 + 10 * n + n**2 / 50, lambda n: 100 + 50 * math.sqrt(n) + 9 * n,
                                  lambda n: 100 + 10 * n + 200 * (n > 64)])
def test_what_is_returned_fits_where_memory_is_no_line(bend):
    found, _ = largest_batch(bend, 2000, 1, 32)
    assert bend(found) <= 2000 < bend(1.2 * found + 1)


def test_a_compiler_that_runs_out_of_memory_says_that_the_batch_does_not_fit():
    def bytes_of(size):
        if size > 40:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.")
        return size

    found, _ = largest_batch(bytes_of, 10**6, 1, 32)
    assert 32 <= found <= 40
    with pytest.raises(ZeroDivisionError):
        largest_batch(lambda size: 1 // 0, 10**6, 1, 32)


def test_the_plan_of_a_small_run_is_measured_and_of_one_without_room_it_is_not():
    config = small(devices=1)
    plan = make_plan(config, toy_vocabulary(), room=50_000_000)
    assert plan.fits and plan.step_seconds > 0 and plan.largest_batch >= config.batch_size
    assert plan.tokens_per_second == pytest.approx(8 * 32 / plan.step_seconds)
    tight = make_plan(config, toy_vocabulary(), room=plan.memory.run - 1)
    assert not tight.fits and tight.largest_batch < config.batch_size and tight.step_seconds is None
    assert tight.tokens_per_second == pytest.approx(8 * 32 * tight.peak / tight.executed_flops)
    assert make_plan(config, toy_vocabulary(), room=10).largest_batch == 0


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 simulated devices")
@pytest.mark.parametrize("parallel", ["jit", "pmap"])
def test_devices_that_share_the_memory_need_it_together(parallel):
    one = CompiledShapes(small(batch_size=16, parallel=parallel), toy_vocabulary(), DEVICES)
    eight = CompiledShapes(small(batch_size=16, parallel=parallel), toy_vocabulary(), jax.devices()[:8])
    assert eight.memory.parameters == 8 * one.memory.parameters
    assert eight.flops == one.flops


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 simulated devices")
def test_a_mesh_that_cuts_parameters_holds_a_part_on_each_device():
    """The devices share the memory here: what is cut is there once, what is whole on each of them."""
    def memory(**changes):
        return CompiledShapes(tiny_config(model__width=64, model__mlp_dim=256, **changes), toy_vocabulary(),
                              jax.devices()[:2]).memory

    whole, cut = memory(), memory(mesh="fsdp:2")
    assert 0.5 <= cut.parameters / whole.parameters < 0.52 and 0.5 <= cut.optimizer / whole.optimizer < 0.52
    assert cut.batch == whole.batch > 0
    assert cut.within > cut.parameters / 2  # gradients at least


@pytest.mark.skipif(jax.device_count() < 8, reason="needs 8 simulated devices")
def test_devices_along_tensor_share_their_rows():
    plan = make_plan(small(devices=2, mesh="tensor:2", batch_size=1), toy_vocabulary(), room=10)
    assert (plan.smallest_batch, plan.largest_batch, plan.mesh) == (1, 0, "tensor:2")
    assert make_plan(small(devices=4, mesh="data:2,tensor:2"), toy_vocabulary(), room=10).smallest_batch == 2


def test_the_plan_of_a_group_is_of_all_its_members(monkeypatch):
    monkeypatch.setattr(planning, "largest_batch", lambda *_: (8, True))  # each try is a program
    config = small(devices=1)
    one, three = (make_plan(config, toy_vocabulary(), members=members) for members in (1, 3))
    assert three.parameters == 3 * one.parameters and three.memory.parameters == 3 * one.memory.parameters
    assert three.memory.batch == pytest.approx(3 * one.memory.batch, rel=0.01)
    assert 2 < three.memory.within / one.memory.within < 4
    assert (three.model_flops, three.executed_flops) == (3 * one.model_flops, 3 * one.executed_flops)
    assert three.tokens_per_second == pytest.approx(3 * 8 * 32 / three.step_seconds)


def test_too_many_devices_are_refused():
    with pytest.raises(UserError, match="devices=99"):
        make_plan(small(devices=99), toy_vocabulary())


def test_free_memory_is_the_control_groups_where_that_leaves_less(tmp_path):
    assert free_memory()[0] > 0
    assert _group_memory(tmp_path) is None
    for name, text in (("memory.max", "max\n"), ("memory.current", "300\n"),
                       ("memory.stat", "anon 5\ninactive_file 50\n")):
        (tmp_path / name).write_text(text)
    assert _group_memory(tmp_path) is None
    (tmp_path / "memory.max").write_text("1000\n")
    assert _group_memory(tmp_path) == 750
