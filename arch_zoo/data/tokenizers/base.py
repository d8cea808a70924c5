"""What every tokenizer offers, and what its ids mean."""

import abc
import dataclasses
import functools
import pathlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from arch_zoo.data.sentences import sentence_marks
from arch_zoo.data.tokenizers.files import sha256_of_files

SPACE = "▁"  # how sentencepiece spells a space in its pieces
# What tokenizers are tried on: white space of all kinds, accents, characters of several bytes, what looks special.
PROBES = ("  two  spaces\ttab\n\n  line \r\n é日本🙂\0 <mask><extra_id_0></s> ", "a", " A b, C. d", "",
          "e\u0301 👩\u200d👩 \ufeff ½ŀ Ａ")


@dataclasses.dataclass(frozen=True, eq=False)
class Vocabulary:
    """What the ids of a tokenizer mean; None for a role that it has no symbol for. The arrays are read-only."""

    size: int
    pad_id: int            # a filler: what is padding is said by segment ids
    unk_id: int | None
    bos_id: int | None     # None: documents begin with their first token (T5)
    eos_id: int
    mask_id: int | None
    sentinel_ids: tuple[int, ...]
    # bool [size]: pad, unk, bos, eos, mask, sentinels and the like; no text produces them (a foreign one's unk apart)
    is_special: np.ndarray
    # bool [size]: the piece begins with white space (a space, a line break, a tab), or is special. A word is such a
    # piece and those after it up to the next: "▁zoo", "logical". The first word of a document begins behind BOS.
    starts_word: np.ndarray
    byte_lengths: np.ndarray  # int [size]: bytes of UTF-8 that the piece stands for, 0 for special ids
    sentence_marks: np.ndarray  # int8 [size]: SentenceMark, what the piece does to a sentence; NONE for special ids
    decoder_start_id: int | None = None  # what opens a decoder's stream, where a model's config says so

    @property
    def start_id(self) -> int:
        """What opens a decoder's stream: BOS, or the padding id where there is no BOS, as in T5; BART has EOS."""
        if self.decoder_start_id is not None:
            return self.decoder_start_id
        return self.pad_id if self.bos_id is None else self.bos_id

    def document(self, ids: Sequence[int]) -> list[int]:
        """A text's ids between BOS, where there is one, and EOS."""
        return [*([] if self.bos_id is None else [self.bos_id]), *ids, self.eos_id]


def make_vocabulary(contents: Sequence[bytes], roles: Mapping[str, int | None], sentinel_ids: Sequence[int],
                    special: Iterable[int], continues: Sequence[bool] | None = None) -> Vocabulary:
    """The vocabulary of pieces whose bytes in a text are `contents`, white space as such.

    roles: the ids of pad, unk, bos, eos and mask; special: all that are, whether they have a role or not; continues:
    which pieces go on with a word, for tokenizers whose pieces do not show the space before them.
    """
    is_special = np.zeros(len(contents), bool)
    is_special[[*special]] = True
    texts = [content.decode(errors="replace") for content in contents]
    if continues is None:
        begins = np.array([text[:1].isspace() for text in texts], bool)
    else:
        begins = ~np.asarray(continues, bool)
    byte_lengths = np.where(is_special, 0, np.array([len(content) for content in contents]))
    starts_word = is_special | begins
    for array in (is_special, starts_word, byte_lengths):
        array.flags.writeable = False
    return Vocabulary(len(contents), **{f"{role}_id": i for role, i in roles.items()},
                      sentinel_ids=tuple(sentinel_ids), is_special=is_special, starts_word=starts_word,
                      byte_lengths=byte_lengths,
                      sentence_marks=sentence_marks(np.where(is_special, "", texts).tolist()))


def nominal_vocabulary(size: int, sentinels: int) -> Vocabulary:
    """A vocabulary of the right size, with every role, for what a run would cost where its tokenizer is not there."""
    roles = {"pad": 0, "unk": 1, "bos": 2, "eos": 3, "mask": 4}
    special = range(len(roles) + sentinels)
    return make_vocabulary([b" a"] * size, roles, special[len(roles):], special)


class Tokenizer(abc.ABC):
    """model_path: the file or directory it was opened from. files: the files that it is made of, by the name under
    which they are kept beside tokens. sha256: of these."""

    def __init__(self, model_path: pathlib.Path, files: Mapping[str, pathlib.Path], spellings: Sequence[str],
                 vocabulary: Vocabulary):
        self.model_path, self.files, self.vocabulary = model_path, dict(files), vocabulary
        self.sha256 = sha256_of_files(files)
        self._spellings = spellings

    @abc.abstractmethod
    def encode(self, text: str) -> list[int]:
        """The ids of `text`, without BOS and EOS; none of them special, but for the unknown."""

    @abc.abstractmethod
    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""

    @abc.abstractmethod
    def _decode(self, ids: list[int]) -> str:
        """The text of ids that are not special."""

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """The text of `ids`; special ids give nothing, bytes that are not UTF-8 the replacement character.

        Ids beyond the vocabulary (a model may have more rows than its tokenizer has pieces) give nothing either.
        """
        ids = np.asarray(ids, np.int64)
        ids = ids[ids < self.vocabulary.size]
        return self._decode(ids[~self.vocabulary.is_special[ids]].tolist())

    def pieces(self, ids: Sequence[int] | np.ndarray) -> list[str]:
        """The spelling of each id: "▁the", "<0x0A>", "<mask>", "<extra_id_0>"; "<60000>" beyond the vocabulary."""
        return [self._spellings[i] if i < self.vocabulary.size else f"<{i}>" for i in np.asarray(ids, np.int64)]

    @functools.cached_property
    def lossless(self) -> bool:
        """Whether a text comes back as it was and its pieces have its bytes, but for one space at its start.

        Measured on texts that have everything but the character by which sentencepiece spells spaces: where others
        trained a model, it comes back as a space.
        """
        def is_kept(text: str) -> bool:
            ids = self.encode(text)
            back, size = self.decode(ids), int(self.vocabulary.byte_lengths[ids].sum())
            return (text in (back, f" {back}") or back == f" {text}") and abs(size - len(text.encode())) <= 1

        return all(map(is_kept, PROBES))

    @functools.cached_property
    def prefixes_space(self) -> bool:
        """Whether a text is encoded as if a space stood before it: what goes on with a text then needs none."""
        return bool(self.vocabulary.starts_word[self.encode("a")[0]])
