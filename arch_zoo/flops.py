"""Counting floating-point operations: of matrix products, where all but a few percent of them are.

Executed operations are what the program does, `count_flops`. The model's are what its mathematics asks for: keys that
a query may not see are not computed, and nothing is computed twice, `model_flops`.
"""

import math
import re
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core

from arch_zoo.config import RunConfig

BACKWARD = 2  # each matrix product of the forward pass has two in the backward pass


def model_flops(config: RunConfig, vocab_size: int) -> int:
    """The model's operations in one training step, by closed formula; `vocab_size` is the tokenizer's."""
    objective, model, length = config.objective, config.model, config.data.length
    forward = objective.forward_flops(model, model.vocab_size or vocab_size, length)
    return (1 + BACKWARD) * config.batch_size * (forward - objective.hidden_flops(model, length))


def count_flops(function: Callable, *arguments: Any) -> int:
    """Operations in the matrix products of `function(*arguments)`, from its jaxpr; arguments may be abstract.

    Loop bodies count as often as they run, recomputation counts, and a multiplication with its addition is two.
    (XLA's own cost analysis counts the body of a scan once.) What every device of a mesh does counts for each of them.
    """
    return _count(jax.make_jaxpr(function)(*arguments).jaxpr)


def _count(jaxpr: core.Jaxpr) -> int:
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            total += _dot_flops(equation)
        if products := _FLASH.get(_kernel_name(equation)):
            total += products * _attention_flops(equation)
            continue
        repeats = _repeats(equation)
        for inner in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_jaxpr):
            if _is_jaxpr(inner):
                total += repeats * _count(getattr(inner, "jaxpr", inner))
    return total


def _repeats(equation: core.JaxprEqn) -> int:
    """How often what is inside of an equation runs."""
    return {"scan": lambda p: p["length"], "shard_map": lambda p: p["mesh"].size}.get(
        equation.primitive.name, lambda p: 1)(equation.params)


def _is_jaxpr(value: Any) -> bool:
    return isinstance(value, core.Jaxpr | core.ClosedJaxpr)


# Products of the size [queries, keys, head] in kernels that compute attention block by block.
_FLASH = {"mha_forward": 2, "mha_backward": 5, "dot_product_attention_fwd_wrapper": 2,
          "dot_product_attention_bwd_wrapper": 5}


def _kernel_name(equation: core.JaxprEqn) -> str:
    return equation.params["name"] if equation.primitive.name == "pallas_call" else equation.primitive.name


def _attention_flops(equation: core.JaxprEqn) -> int:
    """One product of each query with each key; what such a kernel leaves out because it is hidden counts as done."""
    *_, queries, heads, head_dim = equation.invars[0].aval.shape
    keys = equation.invars[1].aval.shape[-3]
    rows = math.prod(equation.invars[0].aval.shape[:-3])
    return 2 * rows * heads * queries * keys * head_dim


def _dot_flops(equation: core.JaxprEqn) -> int:
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


# Dense peaks in FLOP/s, bf16 (V100: fp16), from the vendors' data sheets, by a part of the device's name; of several
# that fit the longest counts.
_PEAKS = {"GB200": 2500e12, "B200": 2250e12, "GH200": 989e12, "H200": 989e12, "H100": 989e12, "H100 PCIe": 756e12,
          "H100 NVL": 835e12, "H20": 148e12, "A100": 312e12, "A40": 149.7e12, "A30": 165e12, "A10": 125e12,
          "A10G": 70e12, "L40": 181e12, "L40S": 362e12, "L4": 121e12, "V100": 125e12, "TPU v4": 275e12,
          "TPU v5 lite": 197e12, "TPU v5": 459e12, "TPU v6 lite": 918e12}
_SIDE_ON_CPU, _SIDE = 768, 8192  # of the square matrices that are multiplied elsewhere: an accelerator wants large ones


@jax.jit
def _square(a: jax.Array) -> jax.Array:
    return a @ a


def data_sheet_flops(kind: str) -> float | None:
    """What the data sheet says of a device of this name; None for one that is not known."""
    names = (name for name in _PEAKS if re.search(rf"\b{name}\b", kind))
    return _PEAKS.get(max(names, key=len, default=None))


def peak_flops(devices: list[jax.Device]) -> float:
    """FLOP/s the devices can reach: the data sheet's for a known accelerator, else a matrix product's, measured."""
    known = data_sheet_flops(devices[0].device_kind)
    if known is not None:
        return known * len(devices)
    on_cpu = devices[0].platform == "cpu"
    n, dtype = (_SIDE_ON_CPU, jnp.float32) if on_cpu else (_SIDE, jnp.bfloat16)
    a = jnp.ones((n, n), dtype)
    _square(a).block_until_ready()
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        _square(a).block_until_ready()
        seconds.append(time.perf_counter() - began)
    return 2 * n**3 / min(seconds) * (1 if on_cpu else len(devices))  # simulated devices share the same cores
