"""Low-rank adaptation: kernels with a product of two narrow matrices added to them (Hu et al. 2022)."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.weights.base import Tree, Weights
from arch_zoo.registry import TRAINED_WEIGHTS
from arch_zoo.settings import FieldError, setting
from arch_zoo.tensor_files import flatten_tree, nest

# Projections of a block, and how many axes of their kernels are inputs; the rest, but for the block's, are outputs.
INPUT_AXES = {"query": 1, "key": 1, "value": 1, "out": 2, "up": 1, "gate": 1, "down": 1}


@TRAINED_WEIGHTS.register("lora")
@dataclasses.dataclass(frozen=True)
class Lora(Weights):
    """Products of two narrow matrices, added to projections that are kept (Hu et al. 2022)."""

    rank: int = setting(8, "columns of the first matrix, rows of the second", low=1)
    alpha: float = setting(16.0, "the product is multiplied by alpha / rank", low=0.0)
    projections: tuple[str, ...] = setting(("query", "value"), f"of {', '.join(INPUT_AXES)}")

    def check(self) -> None:
        if unknown := [name for name in self.projections if name not in INPUT_AXES]:
            raise FieldError("projections", f"unknown projection {unknown[0]!r}; known: {', '.join(INPUT_AXES)}")
        if not self.projections:
            raise FieldError("projections", f"none would be trained; name some of {', '.join(INPUT_AXES)}")

    def parted(self, parameters: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        found = kernels(parameters)
        names = {projection_of(path) for path in found}
        if lacking := [name for name in self.projections if name not in names]:
            raise UserError(f"weights.projections: the model has no {lacking[0]!r}; it has {', '.join(sorted(names))}")
        chosen = {path: kernel for path, kernel in found.items() if projection_of(path) in self.projections}
        return adapters(chosen, self.rank, key), parameters

    def joined(self, learning: Tree, kept: Tree) -> Tree:
        return merged(kept, learning, self.alpha / self.rank)


def kernels(parameters: Mapping[str, Any]) -> dict[str, jax.Array]:
    """{path: kernel} of the projections in blocks."""
    return {path: kernel for path, kernel in flatten_tree(parameters).items()
            if {"blocks", "first_block"} & set(path.split("/")) and path.endswith("/kernel")
            and projection_of(path) in INPUT_AXES}


def projection_of(path: str) -> str:
    """"query" of "stack/blocks/attention/query/kernel"."""
    return path.split("/")[-2]


def adapters(chosen: Mapping[str, jax.Array], rank: int, key: jax.Array) -> dict[str, dict[str, jax.Array]]:
    """{path: {"a": [..., inputs, rank], "b": [..., rank, outputs]}}. b is zero: at first nothing is added.

    a is normal with the deviation inputs**-0.5, so that what it makes of a normalised state is of size 1.
    """
    made = {}
    for number, (path, kernel) in enumerate(sorted(chosen.items())):
        blocks, inputs, outputs = _axes(path, kernel)
        a = jax.random.normal(jax.random.fold_in(key, number), (*blocks, math.prod(inputs), rank))
        made[path] = {"a": a * math.prod(inputs) ** -0.5, "b": jnp.zeros((*blocks, rank, math.prod(outputs)))}
    return made


def merged(parameters: Mapping[str, Any], found: Mapping[str, Mapping[str, jax.Array]], scale: float) -> dict[str, Any]:
    """The parameters with scale · a b added to each adapted kernel: x (W + scale · a b) = x W + scale · (x a) b."""
    flat = flatten_tree(parameters)
    added = {path: flat[path] + (scale * (adapter["a"] @ adapter["b"])).reshape(flat[path].shape)
             for path, adapter in found.items()}
    return nest(flat | added)


def _axes(path: str, kernel: jax.Array) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """Sizes of the axes of blocks (none or one), inputs and outputs."""
    blocks = int("blocks" in path.split("/"))
    split = blocks + INPUT_AXES[projection_of(path)]
    return kernel.shape[:blocks], kernel.shape[blocks:split], kernel.shape[split:]
