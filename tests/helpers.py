"""Streams made by hand, for tests of layers and models."""

import numpy as np

from arch_zoo.models.architecture import Batch, make_batch, make_stream


def stream_batch(rows: list[list[int]], segment_ids: list[list[int]], prefix: np.ndarray | None = None) -> Batch:
    """A batch of one stream, with positions worked out and loss everywhere; short rows are padded with segment 0."""
    length = max(map(len, rows))
    tokens, segments = (np.array([[*row, *[0] * (length - len(row))] for row in part]) for part in (rows, segment_ids))
    stream = make_stream(tokens, segments, np.full_like(tokens, -1), prefix)
    return make_batch(stream, None, tokens, np.full_like(tokens, -1), segments != 0, np.arange(len(rows)), length)
