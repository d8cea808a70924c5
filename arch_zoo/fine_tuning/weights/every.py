"""All weights, at rates that may differ from layer to layer and from epoch to epoch."""

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp

from arch_zoo.fine_tuning.layers import layer_numbers
from arch_zoo.fine_tuning.weights.base import Tree, Weights
from arch_zoo.registry import TRAINED_WEIGHTS
from arch_zoo.settings import setting


@TRAINED_WEIGHTS.register("all")
@dataclasses.dataclass(frozen=True)
class All(Weights):
    """Every weight, as Howard & Ruder 2018 (ULMFiT, section 3.2 and 3.3) do it, where their options are set.

    Frozen layers still gather AdamW's moments, so that their first step is not larger than others.
    """

    divisor: float = setting(1.0, "each layer learns so many times more slowly than the one above it, the last block "
                                  "than the head (ULMFiT: 2.6)", low=1.0)
    gradual: bool = setting(False, "the head learns in the first epoch, and in each further one a layer more, from the "
                                   "last down (ULMFiT)")

    trains_embeddings: ClassVar[bool] = True

    def parted(self, parameters: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        return parameters, {}

    def joined(self, learning: Tree, kept: Tree) -> Tree:
        return learning

    def speeds(self, parameters: Tree, stacks: Sequence[str], epoch: jax.Array) -> Tree | None:
        if self.divisor == 1.0 and not self.gradual:
            return None
        numbers, top = layer_numbers(parameters, stacks)

        def speed(number):
            rate = jnp.asarray(self.divisor, jnp.float32) ** (number - top - 1)
            return jnp.where(number >= top + 1 - epoch, rate, 0.0) if self.gradual else rate

        return jax.tree.map(speed, numbers)
