"""Position schemes, one file each: embed (added to embeddings), rotate (queries and keys), bias (added to logits)."""

from arch_zoo.layers.positions.base import MakeParam, Position

__all__ = ["MakeParam", "Position"]
