"""What is cut along which axis of a mesh: by the table, for every parameter there is, and as XLA then does it."""

import functools
import math

import jax
import numpy as np
import pytest

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic
from arch_zoo.models.abstract import abstract_parameters
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import override, to_dict
from arch_zoo.training import sharding
from arch_zoo.training.checkpoints import Checkpoints
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.parallel import choose_devices, make_parallel
from arch_zoo.training.setup import Setup
from arch_zoo.training.state import TrainState
from arch_zoo.training.step import make_train_step
from arch_zoo.training.workdir import check_config
from arch_zoo.zoo import ZOO
from tests.toy import SIZE, compatible_pairs, drawn, tiny_config, toy_batch, toy_model
from tests.toy import abstract_parameters as toy_parameters

SPEC = jax.sharding.PartitionSpec


def mesh_of(text):
    return override(RunConfig(), {"mesh": text}).mesh


def over(text, batch_size=16, devices=8, accumulate=1):
    return make_parallel("jit", choose_devices(devices), batch_size, accumulate, mesh_of(text))


def by_path(tree):
    return {"/".join(key.key for key in path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}


# --- the text of a mesh ------------------------------------------------------------------------------------------

def test_a_mesh_is_written_in_one_text():
    config = override(RunConfig(), {"mesh": "data:2, fsdp:4"})
    assert (config.mesh.data, config.mesh.fsdp, config.mesh.tensor) == (2, 4, 1)
    assert str(config.mesh) == "data:2,fsdp:4"
    assert override(config, {"mesh": "tensor:2"}).mesh == mesh_of("tensor:2"), "what is not named has its default"
    assert override(config, {"mesh.tensor": 2}).mesh == mesh_of("data:2,fsdp:4,tensor:2")
    assert override(config, {"mesh": ""}).mesh == RunConfig().mesh


@pytest.mark.parametrize(("text", "devices", "shape"), [
    ("", 8, (8, 1, 1)), ("fsdp:2", 8, (4, 2, 1)), ("", 1, (1, 1, 1)), ("tensor:2", 4, (2, 1, 2)),
    ("data:2,fsdp:2", 4, (2, 2, 1))])
def test_data_takes_the_devices_that_are_left(text, devices, shape):
    assert tuple(over(text, devices=devices).mesh.shape.values()) == shape


@pytest.mark.parametrize(("changes", "message"), [
    ({"mesh": "fspd:4"}, r"mesh.fspd: there is no field 'fspd' here. Did you mean 'fsdp'\?"),
    ({"mesh": "fsdp:two"}, "mesh.fsdp: expected int, got 'two'"),
    ({"mesh": "fsdp:0"}, "mesh.fsdp: 0 is out of range: at least 1"),
    ({"mesh": "fsdp"}, "mesh: expected data:…,fsdp:…,tensor:… or some of these, each once, got 'fsdp'"),
    ({"mesh": "fsdp:2,fsdp:4"}, "each once"),
    ({"mesh": "tensor:2", "parallel": "pmap"}, "mesh: tensor:2 cuts parameters, and parallel=pmap keeps them whole"),
])
def test_what_is_no_mesh_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        override(RunConfig(), changes)


@pytest.mark.parametrize(("text", "message"), [
    ("data:3,fsdp:2", "mesh=data:3,fsdp:2 has places for 6 devices, and there are 8"),
    ("fsdp:3", "mesh=fsdp:3 has places for multiples of 3 devices, and there are 8"),
])
def test_a_mesh_that_the_devices_do_not_fill_is_refused(text, message):
    with pytest.raises(UserError, match=message):
        over(text)


def test_a_batch_is_cut_over_data_and_fsdp():
    with pytest.raises(UserError, match=r"batch_size=6 is not divisible by 4 parts of the mesh \(data × fsdp\)"):
        over("fsdp:2,tensor:2", batch_size=6)
    placed = over("fsdp:2,tensor:2").place_batch({"tokens": np.zeros((16, 3))})["tokens"]
    assert {shard.data.shape for shard in placed.addressable_shards} == {(4, 3)}


# --- the table ---------------------------------------------------------------------------------------------------

def sizes_of(model, vocab_size):
    """What each logical axis is long; those that are never cut are free."""
    return {"width": model.width, "embedding": model.size_of_embedding, "vocabulary": vocab_size,
            "heads": model.heads, "kv_heads": model.key_value_heads, "head_dim": model.size_of_head,
            "mlp": model.size_of_mlp}


def assert_the_table_knows(parameters, sizes):
    for path, leaf in by_path(parameters).items():
        axes = sharding.logical_axes(path)
        assert axes is not None, f"{path}: no rule"
        assert len(axes) == leaf.ndim - ("blocks" in path.split("/")), path
        for axis, size in zip(axes, leaf.shape[leaf.ndim - len(axes):], strict=True):
            assert axis not in sizes or size == sizes[axis], (path, axis)


DISTINCT = {"model__width": 24, "model__heads": 6, "model__kv_heads": 3, "model__head_dim": 10, "model__mlp_dim": 44,
            "model__qk_norm": True}


@pytest.mark.parametrize(("architecture", "objective"), compatible_pairs())
def test_the_table_knows_every_parameter_by_its_sizes(architecture, objective):
    config = tiny_config(model__architecture=architecture, objective=objective, **DISTINCT)
    parameters = toy_parameters(config)
    parameters.pop("generator", None)  # it has sizes of its own
    assert_the_table_knows(parameters, sizes_of(config.model, SIZE))


@pytest.mark.parametrize("position", POSITIONS.names())
def test_the_table_knows_the_parameters_of_positions(position):
    config = tiny_config(model__position=position, **DISTINCT | {"model__head_dim": 12})
    assert_the_table_knows(toy_parameters(config), sizes_of(config.model, SIZE))


@pytest.mark.parametrize("name", ["bert_base", "albert_base", "opt_350m", "llama2_70b", "t5_small", "gpt2_small"])
def test_the_table_knows_published_models(name):
    model = ZOO.get(name).run().model
    assert_the_table_knows(abstract_parameters(model, 1000), sizes_of(model, 1000))


def cut(text, **changes):
    """{path: PartitionSpec} of a model's parameters."""
    parameters = toy_parameters(tiny_config(**changes))
    return {path: where.spec for path, where in by_path(over(text).shardings(parameters)).items()}


def test_how_a_block_is_cut():
    specs = cut("fsdp:2,tensor:2")
    block = {path.removeprefix("stack/blocks/"): spec for path, spec in specs.items() if "blocks" in path}
    assert block["attention/query/kernel"] == SPEC(None, "fsdp", "tensor", None)
    assert block["attention/out/kernel"] == SPEC(None, "tensor", None, "fsdp")
    assert block["attention/out/bias"] == block["attention_residual/norm/scale"] == SPEC(None, None)
    assert block["feed_forward/up/kernel"] == SPEC(None, "fsdp", "tensor")
    assert block["feed_forward/up/bias"] == SPEC(None, "tensor")
    assert block["feed_forward/down/kernel"] == SPEC(None, "tensor", "fsdp")
    assert specs["embedding/token_embedding"] == SPEC("tensor", "fsdp")


def test_what_is_not_divisible_stays_whole_and_is_named_once(caplog):
    sharding._say_once.cache_clear()
    with caplog.at_level("INFO"):
        for _ in range(2):
            specs = cut("tensor:8", model__width=64, model__heads=16, model__kv_heads=4)
    assert specs["stack/blocks/attention/key/kernel"] == SPEC(None, None, None, None)
    assert specs["stack/blocks/attention/query/kernel"] == SPEC(None, None, "tensor", None)
    assert [m for m in caplog.messages if "divisible" in m] == ["kv_heads=4 is not divisible by tensor:8; it stays "
                                                                 "whole on each device"]


def test_an_axis_that_cuts_nothing_is_refused():
    tree = {"feed_forward": {"up": {"kernel": np.zeros((16, 12))}}}
    assert over("tensor:4").shardings(tree)
    with pytest.raises(UserError, match="mesh: tensor:8 divides none of this model's vocabulary, heads, kv_heads, mlp"):
        over("tensor:8").shardings(tree)


def test_what_is_no_parameter_is_whole_on_each_device():
    knobs = over("fsdp:8").place_state(Setup.without_data(tiny_config(), SIZE).knobs)
    assert knobs.seed.sharding.is_fully_replicated and len(knobs.seed.sharding.device_set) == 8


def test_what_no_rule_knows_stays_whole_and_is_named(caplog):
    sharding._say_once.cache_clear()
    tree = {"mine": {"table": np.zeros((8, 8))}, "feed_forward": {"up": {"kernel": np.zeros((8, 8))}}}
    with caplog.at_level("INFO"):
        over("").shardings(tree)
        assert not caplog.messages, "where nothing is cut, that is no news"
        assert over("fsdp:8").shardings(tree)["mine"]["table"].spec == SPEC(None, None)
    assert caplog.messages == ["mine/table (8, 8): no rule of training/sharding.py knows it; it stays whole on each "
                               "device"]


@pytest.mark.parametrize("kind", ["adamw", "adafactor", "sgd"])
def test_optimizer_states_follow_their_parameters(kind):
    """With sizes that Adafactor factors: each device holds an eighth of nearly everything."""
    config = tiny_config(model__width=256, model__mlp_dim=512, model__heads=8, model__vocab_size=512,
                         optimizer__kind=kind)
    parameters = abstract_parameters(config.model, 512)
    state = jax.eval_shape(lambda p: TrainState(np.int32(0), p, make_optimizer(config.optimizer, 10).init(p)),
                           parameters)
    placed = over("fsdp:4,tensor:2").shardings(state)
    whole = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))
    here = sum(jax.tree.leaves(jax.tree.map(lambda leaf, where: math.prod(where.shard_shape(leaf.shape)), state,
                                            placed)))
    assert here < 1.15 * whole / 8  # learned positions are cut over fsdp only, norms not at all


def test_what_adafactor_keeps_of_a_matrix_is_cut_as_the_dimension_it_has():
    mesh = over("fsdp:4,tensor:2").mesh
    tree = {"p": {"feed_forward": {"up": {"kernel": np.zeros((3, 8, 16))}}},
            "rows": [{"p": {"feed_forward": {"up": {"kernel": np.zeros((3, 8))}}}}],
            "columns": [{"p": {"feed_forward": {"up": {"kernel": np.zeros((3, 16))}}}}],
            "nothing": [{"p": {"feed_forward": {"up": {"kernel": np.zeros(1)}}}}]}
    state = (tree["p"], *({"feed_forward": one[0]["p"]["feed_forward"]} for one in
                          (tree["rows"], tree["columns"], tree["nothing"])))
    specs = [where.spec for where in jax.tree.leaves(sharding.shardings(state, mesh))]
    assert specs == [SPEC(None, "fsdp", "tensor"), SPEC(None, "fsdp"), SPEC(None, "tensor"), SPEC()]


# --- as XLA does it ----------------------------------------------------------------------------------------------

BASE = {"model__scan": True, "model__remat": True, "model__depth": 4, "model__width": 64, "model__heads": 8,
        "model__mlp_dim": 320, "batch_size": 16, "optimizer__kind": "adamw", "data__length": 8,
        "model__position": "rotary", "model__activation": "silu", "model__norm": "rms_norm",
        "model__attention_bias": False, "model__mlp_bias": False}


@functools.cache
def without_knobs(step):
    return lambda state, batch, knobs: step(state, batch)


@functools.cache
def compiled(text, told=True):
    """The training step over a mesh; where XLA is not `told` where rows lie, it decides by itself."""
    config = tiny_config(**BASE)
    model, visibility = toy_model(config), config.model.architecture.visibility
    optimizer, parallel = make_optimizer(config.optimizer, config.steps), over(text)
    step = make_train_step(config.objective, model, visibility, optimizer, seed=0, accumulate=1)
    state = jax.eval_shape(lambda p: TrainState(np.int32(0), p, optimizer.init(p)), toy_parameters(config))
    if not told:
        parallel._cuts_parameters = False
    return parallel.compile_train(without_knobs(step)).lower(parallel.abstract(state), toy_batch(config), 0.0).compile()


def test_memory_of_a_device_falls_with_fsdp():
    sizes = {f: compiled(f"fsdp:{f}").memory_analysis() for f in (1, 2, 8)}
    for f in (2, 8):
        assert sizes[f].argument_size_in_bytes == pytest.approx(sizes[1].argument_size_in_bytes / f, rel=0.05)
        assert sizes[f].temp_size_in_bytes < 1.1 * sizes[1].temp_size_in_bytes


def test_each_device_computes_on_its_own_rows():
    """The negative control: left to itself XLA would let each compute on the rows of all, a part of the width."""
    of_all, own = ",".join(map(str, (16, 8, 320))), ",".join(map(str, (2, 8, 320)))
    assert f"[{of_all}]" not in compiled("fsdp:8").as_text() and f"[{own}]" in compiled("fsdp:8").as_text()
    assert f"[{of_all}]" in compiled("fsdp:8", told=False).as_text()


# --- checkpoints -------------------------------------------------------------------------------------------------

def test_a_checkpoint_of_one_mesh_is_restored_on_any_other(tmp_path):
    config = tiny_config(model__depth=1, optimizer__kind="sgd", batch_size=16, model__attention_bias=False,
                         model__mlp_bias=False, model__norm_bias=False)
    optimizer, parameters = make_optimizer(config.optimizer, config.steps), drawn(toy_parameters(config), 0.1)
    state = TrainState(jax.numpy.int32(3), parameters, optimizer.init(parameters))
    step = make_train_step(config.objective, toy_model(config), config.model.architecture.visibility, optimizer, seed=0,
                           accumulate=1)
    batch, losses = toy_batch(config), {}
    written = over("fsdp:8")
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(3, written.place_state(state), {"step": 3}, 1.0)
    checkpoints.wait()
    for text, devices in (("fsdp:8", 8), ("fsdp:2,tensor:2", 8), ("", 1)):
        parallel = over(text, devices=devices)
        restored, notes = checkpoints.restore_latest(parallel.abstract(state))
        assert notes["step"] == 3
        placed = jax.tree.map(lambda a, where: a.sharding.is_equivalent_to(where, a.ndim), restored,
                              parallel.shardings(state))
        assert all(jax.tree.leaves(placed))
        jax.tree.map(np.testing.assert_array_equal, jax.device_get(restored), jax.device_get(state))
        new, metrics = parallel.compile_train(without_knobs(step))(restored, parallel.place_batch(batch), 0.0)
        losses[text] = float(metrics["loss_sum"])
        assert int(new.step) == 4
    checkpoints.close()
    np.testing.assert_allclose(list(losses.values()), losses[""], rtol=1e-6)


def test_a_run_may_go_on_over_another_mesh(tmp_path):
    write_json_atomic(tmp_path / "config.json", to_dict(override(RunConfig(), {"mesh": "fsdp:8", "devices": 8})))
    check_config(tmp_path, override(RunConfig(), {"mesh": "data:2,fsdp:4", "parallel": "jit"}))
    with pytest.raises(UserError, match="belongs to another config: seed"):
        check_config(tmp_path, override(RunConfig(), {"mesh": "fsdp:8", "seed": 1}))
