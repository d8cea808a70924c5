"""The interface of a choice of weights."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax

from arch_zoo.settings import Settings

Tree = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Weights(Settings):
    """Parts the weights of a model into those that learn and those that are kept, and joins them again.

    `needs_head`: nothing of the model itself learns. `trains_embeddings`: rows that are added to them learn.
    `every_layer`: a head reads the states of all layers.
    """

    needs_head: ClassVar[bool] = False
    trains_embeddings: ClassVar[bool] = False

    @property
    def every_layer(self) -> bool:
        return False

    def parted(self, parameters: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        """(what learns, what is kept); `key` draws what is new."""
        raise NotImplementedError

    def joined(self, learning: Tree, kept: Tree) -> Tree:
        """The weights that the model is applied with."""
        raise NotImplementedError

    def speeds(self, parameters: Tree, stacks: Sequence[str], epoch: jax.Array) -> Tree | None:
        """Factors of the updates in an epoch (from 0), broadcasting to what learns; None where all are 1."""
