"""Examples made ready to be drawn, by a terminal or a page."""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import jax
import numpy as np

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.errors import UserError
from arch_zoo.examples import InPlace, Pairs, SourceTarget, Window
from arch_zoo.layers.visibility import Visibility, visible_cross, visible_self
from arch_zoo.models.architecture import Architecture, Batch, Stream
from arch_zoo.objectives.base import Objective, Seeds
from experiments.inspection.pieces import piece

_visible_self, _visible_cross = jax.jit(visible_self, static_argnums=0), jax.jit(visible_cross)
_ROOM = 64  # streams are padded to multiples of it, so that one program serves streams of many lengths

MARKS = {"corrupted": "predicted, and not in the input", "predicted": "predicted, and in the input too",
         "gone": "neither in the input nor predicted"}


class Spelling(Protocol):
    """As much of a tokenizer as drawing needs."""

    vocabulary: Vocabulary

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """The spelling of each id."""


@dataclasses.dataclass(frozen=True)
class Token:
    """A token of the window. `mark` says what becomes of it, one of MARKS; none: it is only in the input.

    The input is what the model reads before it predicts: of a source → target example the source alone.
    """

    text: str
    special: bool
    mark: str


@dataclasses.dataclass(frozen=True)
class Position:
    """One position of a stream, as the model gets it."""

    text: str
    special: bool
    put: bool             # the objective put this token there
    document: int
    type: int
    target: str | None    # None where no loss falls
    weight: float
    sees: tuple[np.ndarray, ...]  # bool [k] for each entry of the stream's `seen`


@dataclasses.dataclass(frozen=True)
class StreamPicture:
    """A stream, position by position, padding left out. `seen` names the streams that its positions may see."""

    name: str
    visibility: str
    seen: tuple[str, ...]
    positions: tuple[Position, ...]
    padding: int

    @property
    def predicts(self) -> bool:
        return any(position.target is not None for position in self.positions)

    @property
    def typed(self) -> bool:
        return any(position.type for position in self.positions)

    @property
    def documents(self) -> int:
        return len({position.document for position in self.positions})


@dataclasses.dataclass(frozen=True)
class Layout:
    """An example as one architecture reads it."""

    architecture: str
    streams: tuple[StreamPicture, ...]


@dataclasses.dataclass(frozen=True)
class Picture:
    """One example: the window, and how each architecture lays out what the objective made of it. `answer` says what is
    to be told of the whole row, "" where nothing is.
    """

    window: tuple[Token, ...]
    answer: str
    layouts: tuple[Layout, ...]
    made_by: str  # the objective, of several in one, that made this row


def make_pictures(objective: Objective, architectures: Sequence[Architecture], window: Window | Pairs,
                  spelling: Spelling, seed: int) -> list[Picture]:
    """One picture for each row of the window; UserError where a row has nothing to learn from."""
    example = objective.prepare(window, spelling.vocabulary, Seeds(seed))
    if not (example.loss_weights != 0).any(axis=1).all():
        raise UserError(f"objective={objective.name} finds nothing to predict in this text; give a longer one, or "
                        f"another --seed")
    rows = np.arange(len(window.tokens))
    batches = [architecture.layout(example, rows, spelling.vocabulary.start_id) for architecture in architectures]
    answers = batches[0].sentence_target
    makers = [objective.leaves[part].name for part in (rows * 0 if example.part is None else example.part)]
    return [Picture(_window(window, example, spelling, row),
                    objective.answers[answers[row]] if answers[row] >= 0 else "",
                    tuple(Layout(architecture.name, _streams(batch, architecture.visibility, spelling, row))
                          for architecture, batch in zip(architectures, batches, strict=True)), makers[row])
            for row in rows]


def _window(window: Window | Pairs, example: InPlace | SourceTarget, spelling: Spelling,
            row: int) -> tuple[Token, ...]:
    read = set((example.origin if isinstance(example, InPlace) else example.source_origin)[row].tolist())
    predicted = set(example.target_origin[row][example.loss_weights[row] != 0].tolist())
    tokens = window.tokens[row]
    tokens = tokens if len(tokens) - 1 in predicted else tokens[:-1]  # the last one is there to be predicted, if at all

    def mark(i: int) -> str:
        return ("predicted" if i in read else "corrupted") if i in predicted else "" if i in read else "gone"

    return tuple(Token(text, bool(spelling.vocabulary.is_special[token]), mark(i))
                 for i, (token, text) in enumerate(zip(tokens, spell(tokens, spelling), strict=True))
                 if i in read or i in predicted or token != spelling.vocabulary.pad_id)


def _streams(batch: Batch, visibility: Visibility, spelling: Spelling, row: int) -> tuple[StreamPicture, ...]:
    """The stream that predicts, after the one that an encoder reads, where there is one."""
    targets = _targets(batch, spelling, row)
    if batch.source is None:
        return (_stream("stream", visibility, batch.stream, {"stream": batch.stream}, targets, spelling, row),)
    return (_stream("encoder", Visibility.BIDIRECTIONAL, batch.source, {"encoder": batch.source}, {}, spelling, row),
            _stream("decoder", visibility, batch.stream, {"decoder": batch.stream, "encoder": batch.source}, targets,
                    spelling, row))


def _targets(batch: Batch, spelling: Spelling, row: int) -> dict[int, tuple[str, float]]:
    """{position: (target, weight)} where loss falls on the stream that predicts."""
    places = np.arange(batch.stream.tokens.shape[1]) if batch.loss_positions is None else batch.loss_positions[row]
    texts = spell(batch.targets[row], spelling)
    return {int(place): (text, float(weight))
            for place, text, weight in zip(places, texts, batch.loss_weights[row], strict=True) if weight}


def _stream(name: str, visibility: Visibility, stream: Stream, seen: dict[str, Stream],
            targets: dict[int, tuple[str, float]], spelling: Spelling, row: int) -> StreamPicture:
    """`seen`: what its positions may attend to, itself first."""
    def visible(other: Stream) -> np.ndarray:
        """bool [q, k], keys that are padding left out."""
        def roomy(x: np.ndarray) -> np.ndarray:
            return np.pad(x[row:row + 1], ((0, 0), (0, -x.shape[1] % _ROOM)))

        mine, theirs = roomy(stream.segment_ids), roomy(other.segment_ids)
        all_keys = _visible_self(visibility, mine, roomy(stream.prefix)) if other is stream else \
            _visible_cross(mine, theirs)
        return np.asarray(all_keys)[0][:, theirs[0] != 0]

    tokens, documents, matrices = stream.tokens[row], stream.segment_ids[row], [visible(o) for o in seen.values()]
    texts = spell(tokens, spelling)
    positions = tuple(Position(texts[i], bool(spelling.vocabulary.is_special[tokens[i]]),
                               bool(stream.origin[row, i] < 0), int(documents[i]),
                               int(stream.types[row, i]), *targets.get(i, (None, 0.0)),
                               tuple(matrix[i] for matrix in matrices)) for i in np.flatnonzero(documents))
    return StreamPicture(name, visibility.value, tuple(seen), positions, int((documents == 0).sum()))


def spell(ids: np.ndarray, spelling: Spelling) -> list[str]:
    """Pieces with short names for special ids: [BOS], [MASK], <0> for the first sentinel."""
    v = spelling.vocabulary
    names = {v.pad_id: "[PAD]", v.unk_id: "[UNK]", v.bos_id: "[BOS]", v.eos_id: "[EOS]", v.mask_id: "[MASK]"}
    names |= {i: f"<{n}>" for n, i in enumerate(v.sentinel_ids)}
    return [names.get(int(i)) or piece(text) for i, text in zip(ids, spelling.pieces(ids), strict=True)]


def runs(row: np.ndarray) -> list[tuple[int, int]]:
    """(first, last) of each stretch of a row [k] that is True."""
    edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]
