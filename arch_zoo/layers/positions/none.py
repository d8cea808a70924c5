"""No positions: a causal stack can still tell order from what it sees (Haviv et al. 2022)."""

import dataclasses

from arch_zoo.layers.positions.base import Position
from arch_zoo.registry import POSITIONS


@POSITIONS.register("none")
@dataclasses.dataclass(frozen=True)
class NoPosition(Position):
    """All three hooks left empty."""
