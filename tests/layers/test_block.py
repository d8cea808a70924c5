"""Feed-forward, residual, block and stack: against NumPy, and the promises of the docstrings."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.config import ModelConfig
from arch_zoo.layers.block import Memory
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.feed_forward import FeedForward
from arch_zoo.layers.residual import Residual
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Seen, Visibility

SMALL = ModelConfig(width=16, heads=2, depth=2, activation="relu", position="none")
IDS = jnp.arange(2)
X = np.asarray(jax.random.normal(jax.random.key(0), (2, 8, 16)))
NUMPY_ACTIVATIONS = {"relu": lambda x: np.maximum(x, 0), "silu": lambda x: x / (1 + np.exp(-x)),
                     "gelu_tanh": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))}


def noisy(parameters, scale=0.3):
    """Parameters with nothing left at 0 or 1, so that each of them matters."""
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda p: np.asarray(p) + scale * rng.normal(size=p.shape).astype(np.float32), parameters)


# --- feed-forward and residual -----------------------------------------------------------------------------------

@pytest.mark.parametrize("activation", NUMPY_ACTIVATIONS)
@pytest.mark.parametrize("gated", [False, True])
def test_feed_forward(gated, activation):
    module = FeedForward(SMALL.replace(gated=gated, activation=activation, mlp_dim=24), 2)
    parameters = noisy(module.init(jax.random.key(0), X, example_ids_b=IDS, train=False)["params"])
    out = module.apply({"params": parameters}, X, example_ids_b=IDS, train=False)

    def dense(name, x):
        return x @ parameters[name]["kernel"] + parameters[name]["bias"]

    f, up = NUMPY_ACTIVATIONS[activation], dense("up", X)
    np.testing.assert_allclose(out, dense("down", f(dense("gate", X)) * up if gated else f(up)), atol=1e-4)
    assert set(parameters) == {"up", "down"} | ({"gate"} if gated else set())


def layer_norm(p, x):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * p["scale"] + p["bias"]


FORMULAS = {"pre": lambda p, x, f, g: x + f(layer_norm(p["norm"], x)),
            "post": lambda p, x, f, g: layer_norm(p["norm"], x + f(x)),
            "sandwich": lambda p, x, f, g: x + layer_norm(p["norm_out"], f(layer_norm(p["norm"], x))),
            "parallel": lambda p, x, f, g: x + f(layer_norm(p["norm"], x)) + g(layer_norm(p["norm"], x)),
            "parallel_norms": lambda p, x, f, g: x + f(layer_norm(p["f_norm"], x)) + g(layer_norm(p["g_norm"], x))}


@pytest.mark.parametrize("placement", FORMULAS)
def test_residual_is_the_formula_of_its_docstring(placement):
    f, g = (lambda x: x**2 - x), (lambda x: 3 * x)
    branches = {"f": f, "g": g} if placement.startswith("parallel") else {"f": f}
    module = Residual(SMALL.replace(placement=placement))
    keywords = {"example_ids_b": IDS, "train": False}
    parameters = noisy(module.init(jax.random.key(0), X, branches, **keywords)["params"])
    norms = [n for n in parameters if n.endswith(("norm", "norm_out"))]
    assert len(norms) == (2 if placement in ("sandwich", "parallel_norms") else 1)
    others = dict.fromkeys(("norm", "norm_out", "f_norm", "g_norm"), parameters[norms[0]])
    out = {name: formula(others | parameters, X, f, g)
           for name, formula in FORMULAS.items()}
    actual = module.apply({"params": parameters}, X, branches, **keywords)
    np.testing.assert_allclose(actual, out[placement], atol=1e-4)
    same = {"parallel", "parallel_norms"} if placement == "parallel" else {placement}  # given one norm, two are one
    assert all(np.abs(actual - other).max() > 1e-2 for name, other in out.items() if name not in same)


def test_a_bare_branch_reads_the_stream_as_it_is():
    module = Residual(SMALL, bare="f")
    keywords = {"example_ids_b": IDS, "train": False}
    assert "params" not in module.init(jax.random.key(0), X, {"f": jnp.sin}, **keywords)
    np.testing.assert_allclose(module.apply({}, X, {"f": jnp.sin}, **keywords), X + np.sin(X), atol=1e-6)


# --- the stack ---------------------------------------------------------------------------------------------------

def surroundings(rows=2, example_ids=None):
    positions = jnp.broadcast_to(jnp.arange(8), (rows, 8))
    segments = jnp.ones((rows, 8), int).at[:, 5:].set(2)
    example_ids = jnp.arange(rows) if example_ids is None else example_ids
    return Visibility.CAUSAL, segments, positions, positions < 0, example_ids


@functools.cache
def stack_parameters(config):
    stack = Stack(config, config.depth)
    return jax.jit(lambda: stack.init(jax.random.key(1), X, *surroundings(), train=False)["params"])()


def outputs_and_gradients(config, parameters):
    stack = Stack(config, config.depth)

    def loss(parameters):
        out = stack.apply({"params": parameters}, X, *surroundings(), train=True, rngs={"dropout": jax.random.key(5)})
        return jnp.sum(out**3), out

    (_, out), gradients = jax.jit(jax.value_and_grad(loss, has_aux=True))(parameters)
    return out, gradients


DROPPING = SMALL.replace(attention_dropout=0.2, mlp_dropout=0.2, residual_dropout=0.2, windows=(0, 2),
                         position="t5_bias")


@pytest.fixture(scope="module")
def unrolled():
    parameters = noisy(stack_parameters(DROPPING), 0.1)
    return parameters, outputs_and_gradients(DROPPING, parameters)


@pytest.mark.parametrize("knobs", [{"scan": True}, {"scan": True, "scan_unroll": 2}, {"remat": True},
                                   {"scan": True, "remat": True, "remat_keeps": "products"}], ids=str)
def test_knobs_of_performance_change_no_number(unrolled, knobs):
    parameters, expected = unrolled
    actual = outputs_and_gradients(DROPPING.replace(**knobs), parameters)
    np.testing.assert_allclose(actual[0], expected[0], atol=1e-4)
    largest = max(np.abs(g).max() for g in jax.tree.leaves(expected[1]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), expected[1], actual[1])


def test_each_block_drops_on_its_own_and_windows_are_read(unrolled):
    """The comparison can fail: another order of windows, no dropout, or blocks swapped give other numbers."""
    parameters, (expected, _) = unrolled
    swapped = parameters | {"blocks": jax.tree.map(lambda p: p[::-1], parameters["blocks"])}
    for other, config in [(parameters, DROPPING.replace(windows=(2, 0))), (swapped, DROPPING),
                          (parameters, DROPPING.replace(residual_dropout=0.0))]:
        stack = Stack(config, 2)
        out = jax.jit(lambda p, stack=stack: stack.apply({"params": p}, X, *surroundings(), train=True,
                                                         rngs={"dropout": jax.random.key(5)}))(other)
        assert np.abs(out - expected).max() > 1e-2


def test_the_tree_and_its_values_do_not_depend_on_knobs():
    trees = [stack_parameters(SMALL.replace(**knobs)) for knobs in ({}, {"scan": True, "remat": True})]
    jax.tree.map(np.testing.assert_array_equal, *trees)
    kernel = trees[0]["blocks"]["attention"]["query"]["kernel"]
    assert kernel.shape[0] == 2 and (kernel[0] != kernel[1]).all()


@pytest.mark.parametrize("knobs", [{}, {"scan": True}], ids=str)
def test_shared_blocks_are_one_block_run_again_and_again(knobs):
    config = SMALL.replace(depth=3, share_blocks=True, windows=(0, 2), **knobs)
    shared = noisy(stack_parameters(config), 0.1)
    assert all(len(p) == 1 for p in jax.tree.leaves(shared["blocks"]))
    repeated = shared | {"blocks": jax.tree.map(lambda p: np.repeat(p, 3, axis=0), shared["blocks"])}
    plain = config.replace(share_blocks=False)
    one, three = (jax.jit(lambda p, c=c: Stack(c, 3).apply({"params": p}, X, *surroundings(), train=False))(p)
                  for c, p in ((config, shared), (plain, repeated)))
    np.testing.assert_allclose(one, three, atol=1e-5)


@pytest.mark.parametrize("placement", ["pre", "sandwich", "parallel_norms"])
def test_a_first_block_without_a_norm_is_one_whose_norm_does_nothing(placement):
    """Fed with what is normalised already, the block with a norm of gain 1 and bias 0 gives the same."""
    plain = SMALL.replace(depth=3, placement=placement, norm_epsilon=1e-9)
    bare = plain.replace(first_norm=False)
    parameters = noisy(stack_parameters(bare), 0.1)
    assert {len(p) for p in jax.tree.leaves(parameters["blocks"])} == {2}
    residual, norm = ("parallel_residual", "attention_norm") if placement == "parallel_norms" else \
        ("attention_residual", "norm")
    idle = {"scale": np.ones(16, np.float32), "bias": np.zeros(16, np.float32)}
    first = parameters["first_block"]
    first = first | {residual: first.get(residual, {}) | {norm: idle}}
    joined = jax.tree.map(lambda a, b: np.concatenate([a[None], b]), first, parameters["blocks"])
    with_norm = {name: value for name, value in parameters.items() if name != "first_block"} | {"blocks": joined}
    x = (X - X.mean(-1, keepdims=True)) / X.std(-1, keepdims=True)

    def out(config, parameters):
        stack = Stack(config, 3)
        return jax.jit(lambda p: stack.apply({"params": p}, x, *surroundings(), train=False))(parameters)

    expected = out(bare, parameters)
    np.testing.assert_allclose(out(plain, with_norm), expected, atol=1e-4)
    np.testing.assert_allclose(out(bare.replace(scan=True), parameters), expected, atol=1e-5)


def test_windows_cycle_over_the_blocks():
    parameters = noisy(stack_parameters(SMALL.replace(depth=3)), 0.1)

    def out(windows):
        stack = Stack(SMALL.replace(windows=windows, scan=True), 3)
        return jax.jit(lambda p: stack.apply({"params": p}, X, *surroundings(), train=False))(parameters)

    turns = out((2, 0))
    np.testing.assert_array_equal(turns, out((2, 0, 2)))
    np.testing.assert_array_equal(out(()), out((0,)))
    assert (turns != out((0, 2))).any()


@pytest.mark.parametrize(("cross", "branches"), [(False, 6), (True, 9)])
def test_only_projections_into_the_residual_stream_start_smaller(cross, branches):
    def deviations(scaled):
        config = SMALL.replace(width=64, scale_residual_init=scaled)
        stack = Stack(config, 3, cross_attention=cross)
        memory = Memory(jnp.zeros((2, 4, 64)), Seen(jnp.ones((2, 8, 4), bool))) if cross else None
        x = jnp.zeros((2, 8, 64))
        tree = jax.jit(lambda: stack.init(jax.random.key(1), x, *surroundings(), memory, train=False)["params"])()
        return {jax.tree_util.keystr(path): float(leaf.std()) for path, leaf in
                jax.tree_util.tree_leaves_with_path(tree["blocks"]) if "kernel" in str(path)}

    plain, scaled = deviations(False), deviations(True)
    assert len(plain) == (10 if cross else 6)
    for name, std in plain.items():
        into_stream = "['out']" in name or "['down']" in name
        assert std == pytest.approx(0.02, rel=0.05)
        assert scaled[name] == pytest.approx(std / np.sqrt(branches) if into_stream else std, rel=1e-4)


# --- dropout -----------------------------------------------------------------------------------------------------

def test_an_example_drops_the_same_wherever_it_stands():
    x = jnp.ones((4, 8, 16))

    def drop(ids, key=0):
        return Dropout(0.5).apply({}, x[:len(ids)], jnp.array(ids), train=True, rngs={"dropout": jax.random.key(key)})

    whole = drop([0, 1, 2, 3])
    np.testing.assert_array_equal(whole[2:], drop([2, 3]))
    np.testing.assert_array_equal(whole[::-1], drop([3, 2, 1, 0]))
    assert (whole[0] != whole[1]).any() and (whole != drop([0, 1, 2, 3], key=1)).any()
    assert set(np.unique(whole)) == {0.0, 2.0} and abs(float(whole.mean()) - 1) < 0.2
    np.testing.assert_array_equal(Dropout(0.5).apply({}, x, jnp.arange(4), train=False), x)


@pytest.mark.parametrize("field", ["attention_dropout", "mlp_dropout", "residual_dropout"])
def test_every_dropout_of_a_block_is_keyed_by_example(field):
    config = dataclasses.replace(SMALL, depth=1, **{field: 0.5})
    stack, parameters = Stack(config, 1), noisy(stack_parameters(SMALL.replace(depth=1)))
    same = np.stack([X[0]] * 3)

    @jax.jit
    def run(ids):
        visibility, *around = surroundings(3, ids)
        return stack.apply({"params": parameters}, same, visibility, *around, train=True,
                           rngs={"dropout": jax.random.key(2)})

    three = run(jnp.array([4, 7, 4]))
    np.testing.assert_allclose(three[0], three[2], atol=1e-5)
    np.testing.assert_allclose(three[1], run(jnp.array([7, 1, 2]))[0], atol=1e-5)
    assert np.abs(three[0] - three[1]).max() > 1e-2
