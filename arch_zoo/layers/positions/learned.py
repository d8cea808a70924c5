"""Learned absolute positions (Gehring et al. 2017; GPT, BERT)."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax

from arch_zoo.layers.placement import gathered
from arch_zoo.layers.positions.base import MakeParam, Position
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import setting


@POSITIONS.register("learned")
@dataclasses.dataclass(frozen=True)
class Learned(Position):
    """A table of `max_len` vectors, added to the token embeddings."""

    std: float = setting(0.02, "standard deviation of the initial table", low=0)
    offset: int = setting(0, "further rows, before the first position, that no position uses (RoBERTa, BART, OPT: 2)",
                          low=0)
    needs_max_len: ClassVar[bool] = True

    def embed(self, param: MakeParam, positions_bt: jax.Array, width: int, max_len: int) -> jax.Array:
        table_td = param("position_embedding", nn.initializers.normal(self.std), (self.offset + max_len, width))
        return gathered(table_td)[self.offset + positions_bt]
