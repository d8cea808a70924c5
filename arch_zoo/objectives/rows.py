"""Single examples, to be scored or filled in: how long they are, and how they are put together into batches."""

from typing import NamedTuple

import flax.linen as nn
import numpy as np

from arch_zoo.examples import InPlace, Lengths, SourceTarget
from arch_zoo.objectives.base import Undefined

Row = InPlace | SourceTarget


class Shape(NamedTuple):
    """What rows are padded to, so that few programs are compiled: lengths, and how many positions are projected."""

    source: int
    stream: int
    scored: int  # 0: all


def longest_stream(model: nn.Module) -> int | None:
    """The longest stream whose places the model can tell apart; None where it has no table of them."""
    return model.config.max_len if model.config.position.needs_max_len else None


def require_length(model: nn.Module, longest: int) -> None:
    """Undefined where a stream is longer than learned positions reach: its end would silently share one position."""
    limit = longest_stream(model)
    if limit is not None and longest > limit:
        raise Undefined(f"a stream of {longest} tokens is longer than model.max_len={limit}")


def padded(length: int) -> int:
    """The length that a stream is padded to: a multiple of 4 up to 64, and at most an eighth too long above.

    Sentences are short, and there are few such lengths, so few programs to compile.
    """
    step = 4
    while 16 * step < length:
        step *= 2
    return max(1, -(-length // step)) * step


def lengths_of(row: Row) -> Lengths:
    """Of the streams of one row."""
    if isinstance(row, SourceTarget):
        return Lengths(source=row.source.shape[1], target=row.target.shape[1])
    return Lengths(source=0, target=row.tokens.shape[1])


def collate(rows: list[Row], shape: Shape, size: int) -> Row:
    """`size` rows of one kind and shape, padded and stacked; the first one stands for those that are missing.

    Padding has segment 0 and weight 0.
    """
    columns = {}
    for name, value in vars(rows[0]).items():
        if not isinstance(value, np.ndarray) or value.ndim < 2:
            continue
        column = np.zeros((size, shape.source if name.startswith("source") else shape.stream), value.dtype)
        for i, row in enumerate(rows):
            array = getattr(row, name)
            column[i, :array.shape[1]] = array[0]
        column[len(rows):] = column[0]
        columns[name] = column
    if isinstance(rows[0], SourceTarget):
        return SourceTarget(**columns)
    return InPlace(**columns, capacity=shape.scored)
