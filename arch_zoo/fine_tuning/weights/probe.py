"""A probe: what a head can read from states that are left as they are."""

import dataclasses
from typing import ClassVar, Literal

import jax

from arch_zoo.fine_tuning.weights.base import Tree, Weights
from arch_zoo.registry import TRAINED_WEIGHTS
from arch_zoo.settings import setting


@TRAINED_WEIGHTS.register("probe")
@dataclasses.dataclass(frozen=True)
class Probe(Weights):
    """None of the model: the head alone, on frozen states."""

    layers: Literal["last", "all"] = setting("last", "the last states, or a learnt mixture of those of all layers, "
                                                     "softmax weights and a factor (Peters et al. 2018)")

    needs_head: ClassVar[bool] = True

    @property
    def every_layer(self) -> bool:
        return self.layers == "all"

    def parted(self, parameters: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        return {}, parameters

    def joined(self, learning: Tree, kept: Tree) -> Tree:
        return kept
