"""What a model has read before the first token is written.

A prompt is laid out as the objective lays out a context whose continuation is scored (`Objective.conditional`), up to
the position that predicts the first token. So whatever has a likelihood from left to right can also write.
"""

from collections.abc import Sequence

import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.models.architecture import Architecture, Batch, Stream, make_batch, make_stream
from arch_zoo.objectives.base import Objective, Undefined
from arch_zoo.objectives.rows import padded


def prompt_batch(objective: Objective, architecture: Architecture, vocabulary: Vocabulary,
                 contexts: Sequence[Sequence[int]]) -> Batch:
    """A row for each context, to be continued. Streams are padded on the left, so that all rows end together.

    Undefined, with the reason, where the objective gives no likelihood from left to right.
    """
    rows = [_row(objective, architecture, vocabulary, context) for context in contexts]
    stream = _joined([stream for stream, _ in rows], on_the_left=True)
    sources = [source for _, source in rows if source is not None]
    nothing = np.zeros((len(rows), 0))
    return make_batch(stream, _joined(sources, on_the_left=False) if sources else None, nothing, nothing, nothing,
                      np.arange(len(rows)), capacity=0)


def longest(stream: Stream | None) -> int:
    """The tokens of the longest row; 0 for no stream."""
    return 0 if stream is None else int((stream.segment_ids != 0).sum(axis=1).max())


def _row(objective: Objective, architecture: Architecture, vocabulary: Vocabulary,
         context: Sequence[int]) -> tuple[Stream, Stream | None]:
    rows = objective.conditional(context, [vocabulary.eos_id], vocabulary)  # any one token: it is what is left out
    if len(rows) != 1:
        raise Undefined("it scores a text by several readings, and none of them can be continued")
    batch = architecture.layout(rows[0], np.zeros(1, int), vocabulary.start_id)
    positions = np.arange(batch.loss_weights.shape[1]) if batch.loss_positions is None else batch.loss_positions[0]
    carrying = positions[batch.loss_weights[0] != 0]
    if len(carrying) != 1:
        raise Undefined("it scores a token at several positions, and none of them can be continued")
    return _cut(batch.stream, int(carrying[0]) + 1), batch.source


def _cut(stream: Stream, length: int) -> Stream:
    return Stream(**{name: array[:, :length] for name, array in vars(stream).items()})


def _joined(streams: list[Stream], *, on_the_left: bool) -> Stream:
    """Rows of several streams as one, padded with segment 0."""
    length = padded(max(stream.tokens.shape[1] for stream in streams))

    def column(name):
        arrays = [getattr(stream, name)[0] for stream in streams]
        return np.stack([np.pad(a, (length - len(a), 0) if on_the_left else (0, length - len(a))) for a in arrays])

    return make_stream(*(column(name) for name in ("tokens", "segment_ids", "origin", "prefix", "types")))
