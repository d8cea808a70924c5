"""What a corpus is, and how it comes to three splits.

Splits that a source does not have are carved out of its train split by a hash of each document's content, so documents
stay where they are when others are added.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from typing import Protocol

from arch_zoo.data.python_docs import SPLITS
from arch_zoo.errors import UserError

_CARVED_PERCENT = 5  # of the train split, for validation and for test
# train.txt, valid-00001.jsonl, test/…; but testimony.txt is an ordinary name
SPLIT_NAME = re.compile(r"(train|valid|test)(ing|ation)?(?![a-z])|(dev|val)(?![a-z])", re.IGNORECASE)
NAMED = {"train": "train", "valid": "validation", "val": "validation", "dev": "validation", "test": "test"}


class Corpus(Protocol):
    """Documents in three splits."""

    name: str

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hexadecimal) of the identity of the content: equal fingerprints, equal documents."""

    def documents(self, split: str) -> Iterator[str]:
        """The documents of "train", "validation" or "test", always in the same order, one at a time."""


class Carved:
    """Splits for sources that may lack some: a subclass gives `name`, `_present` and `_read(split)`."""

    name: str
    _present: frozenset[str]  # the splits the source has
    _advice: str

    def documents(self, split: str) -> Iterator[str]:
        """See Corpus. UserError at the end of a split that turned out to have no document."""
        return self.carved(split)

    def carved(self, split: str) -> Iterator[str]:
        """What `_read` gives, of this split alone."""
        source = split if split in self._present else "train"
        carved = {s: i for i, s in enumerate(s for s in SPLITS if s not in self._present)}
        found = False
        for document in self._read(source):
            if not document.strip():
                continue
            if source == "train" and carved:
                bucket = int.from_bytes(hashlib.sha256(document.encode()).digest()[:8]) % 100 // _CARVED_PERCENT
                if carved.get(split, bucket) != bucket or (split == "train" and bucket in carved.values()):
                    continue
            found = True
            yield document
        if not found:
            raise UserError(f"{self.name}: no document falls into the {split} split; {self._advice}")

    def _read(self, split: str) -> Iterator[str]:
        raise NotImplementedError


class CarvedPairs(Carved):
    """Pairs of texts: a subclass gives `_read_pairs(split)`, of ("where it stands", source, target)."""

    def pairs(self, split: str) -> Iterator[tuple[str, str]]:
        """The (source, target) pairs of a split, always in the same order."""
        for line in self.carved(split):
            source, _, target = line.partition("\t")
            yield source, target

    def documents(self, split: str) -> Iterator[str]:
        """All texts of both sides: what a tokenizer is trained on."""
        for pair in self.pairs(split):
            yield from pair

    def _read(self, split: str) -> Iterator[str]:
        return (f"{source}\t{target}" for source, target in whole_pairs(self._read_pairs(split)))

    def _read_pairs(self, split: str) -> Iterator[tuple[str, str, str]]:
        raise NotImplementedError


def whole_pairs(pairs: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """(source, target), each in a line of its own, from ("where it stands", source, target). UserError where one is
    empty.
    """
    for where, source, target in pairs:
        source, target = source.strip().replace("\t", " "), target.strip().replace("\t", " ")
        if not source or not target:
            raise UserError(f"{where}: a pair without a {'target' if source else 'source'}")
        yield source, target
