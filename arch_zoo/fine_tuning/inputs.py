"""Texts as rows of tokens: marks around them, what is cut off, the batch that a model reads."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from flax import struct

from arch_zoo.data.labelled.task import Example, Kind
from arch_zoo.data.tokenizers import Tokenizer, Vocabulary
from arch_zoo.models.architecture import Batch, make_batch, make_stream

NEW_TOKENS = 3


@dataclasses.dataclass(frozen=True)
class Marks:
    """Ids before the first text, between two texts and behind the last; None before it where there is no such symbol.

    The tokenizer's own, BOS and EOS (BERT's [CLS] and [SEP]), or GPT-1's start, delimiter and extract (Radford et al.
    2018, section 3.3), which are new rows of the embedding.
    """

    start: int | None
    delimiter: int
    extract: int

    @classmethod
    def of_tokenizer(cls, vocabulary: Vocabulary) -> "Marks":
        return cls(vocabulary.bos_id, vocabulary.eos_id, vocabulary.eos_id)

    @classmethod
    def new(cls, rows: int) -> "Marks":
        """Those that stand in the embedding behind its first `rows` rows."""
        return cls(rows, rows + 1, rows + 2)


@dataclasses.dataclass(frozen=True)
class Row:
    """One text, or two of them, between marks; `second` is where the second begins; `cut`: something was left out."""

    ids: list[int]
    second: int
    cut: bool


def make_row(texts: Sequence[Sequence[int]], marks: Marks, length: int) -> Row:
    """[start, first, delimiter, second, extract] of at most `length` ids; of two texts the longer is cut first (BERT).
    """
    room = length - len(texts) - (marks.start is not None)
    kept = fitting([len(ids) for ids in texts], room)
    ids = [] if marks.start is None else [marks.start]
    second = length
    for number, (text, count) in enumerate(zip(texts, kept, strict=True)):
        if number:
            ids.append(marks.delimiter)
            second = len(ids)
        ids.extend(text[:count])
    return Row([*ids, marks.extract], second, kept != [len(text) for text in texts])


def fitting(lengths: Sequence[int], room: int) -> list[int]:
    """The lengths, the longest made shorter one by one until they fit; the last of equal ones first."""
    lengths = list(lengths)
    if len(lengths) == 1:
        return [min(lengths[0], max(room, 0))]
    first, second = lengths
    if first + second <= room:
        return lengths
    room = max(room, 0)
    shorter = min(first, second, room // 2)
    return [shorter, room - shorter] if first < second else [room - shorter, shorter]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """Of each example the rows that are read for it: one, two orders of a pair, or one for each choice."""

    rows: list[list[Row]]

    @property
    def cut(self) -> int:
        """How many examples do not fit whole."""
        return sum(any(row.cut for row in rows) for rows in self.rows)


def texts_of_rows(example: Example, kind: Kind) -> list[tuple[str, ...]]:
    """The texts of each row that is read for an example."""
    if kind is Kind.SIMILARITY:
        return [example.texts, example.texts[::-1]]
    if kind is Kind.CHOICE:
        return [(*example.texts, choice) for choice in example.choices]
    return [example.texts]


def encode(examples: Sequence[Example], kind: Kind, tokenizer: Tokenizer, marks: Marks, length: int) -> Encoded:
    """Rows of at most `length` ids."""
    texts = [texts_of_rows(example, kind) for example in examples]
    distinct = list(dict.fromkeys(text for rows in texts for row in rows for text in row))
    ids = dict(zip(distinct, tokenizer.encode_batch(distinct), strict=True))
    return Encoded([[make_row([ids[text] for text in row], marks, length) for row in rows] for rows in texts])


@struct.dataclass
class Inputs:
    """b examples of n rows each: a batch of b · n rows, and which of them there are (choices may be fewer)."""

    batch: Batch
    present: np.ndarray  # bool [b, n]


def inputs_of(rows: Sequence[Sequence[Row]], count: int, length: int, pad_id: int, types: bool) -> Inputs:
    """`count` rows for each example, padded to one of a few lengths up to `length`: few programs are compiled."""
    absent = Row([], length, False)
    filled = [row for found in rows for row in (*found, *[absent] * (count - len(found)))]
    longest = max(len(row.ids) for row in filled)
    to = next(size for size in (-(-length // 4), -(-length // 2), length) if size >= longest)
    present = np.array([[i < len(found) for i in range(count)] for found in rows])
    return Inputs(rows_batch(filled, to, pad_id, types), present)


def rows_batch(rows: Sequence[Row], length: int, pad_id: int, types: bool = False) -> Batch:
    """The same tokens in the stream and, for an encoder, in the source; each token is to predict the next.

    As prefix-visible stream, everything but the last token, which is read, is prefix. With `types` the second text's
    tokens are of another kind.
    """
    tokens = np.full((len(rows), length), pad_id, np.int32)
    for line, row in zip(tokens, rows, strict=True):
        line[:len(row.ids)] = row.ids
    lengths, index = np.array([[len(row.ids)] for row in rows]), np.arange(length)[None]
    real = index < lengths
    kinds = real & (index >= np.array([[row.second] for row in rows])) if types else None
    stream = make_stream(tokens, real.astype(np.int32), np.full_like(tokens, -1), index < lengths - 1, kinds)
    following = np.concatenate([tokens[:, 1:], np.full_like(tokens[:, :1], pad_id)], axis=1)
    return make_batch(stream, stream, following, np.full_like(tokens, -1), index < lengths - 1, np.arange(len(rows)),
                      length)


def text_batch(texts: Sequence[str], tokenizer: Tokenizer, length: int) -> Batch:
    """[BOS, tokens, EOS] of each text, cut to `length`."""
    marks, v = Marks.of_tokenizer(tokenizer.vocabulary), tokenizer.vocabulary
    return rows_batch([make_row([ids], marks, length) for ids in tokenizer.encode_batch(texts)], length, v.pad_id)
