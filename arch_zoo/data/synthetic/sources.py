"""What makes up text or pairs: a value whose fields are the options behind its name, and its corpus.

    synthetic:grammar                            its options as they are
    synthetic:grammar:documents=500:seed=3       with some changed
    parallel:synthetic:copy:longest=8            a source of pairs
"""

import abc
import dataclasses
import hashlib
import json
from collections.abc import Iterator
from typing import ClassVar

from arch_zoo.data.splits import Carved, CarvedPairs
from arch_zoo.errors import UserError
from arch_zoo.registry import SYNTHETIC_PAIRS, SYNTHETIC_TEXT, Registry, did_you_mean
from arch_zoo.settings import Settings, override, setting, to_dict

TEXT, PAIRS = "synthetic:", "parallel:synthetic:"
_REGISTRIES = {TEXT: SYNTHETIC_TEXT, PAIRS: SYNTHETIC_PAIRS}


@dataclasses.dataclass(frozen=True)
class Source(Settings, abc.ABC):
    """What every source has; `version` is counted up when the same options would make other texts."""

    seed: int = setting(0, "draws the texts; the language stays the same", low=0)

    version: ClassVar[int] = 1


@dataclasses.dataclass(frozen=True)
class TextSource(Source):
    """A source of running text."""

    documents: int = setting(2000, "documents in all three splits", low=100)

    @abc.abstractmethod
    def document(self, number: int) -> str:
        """The document with this number: a function of the options and the number."""

    @abc.abstractmethod
    def optimum(self, prefix: str, suffix: str) -> float:
        """Nats: −log p(suffix | prefix) by the distribution that the text is drawn from; no model does better on
        average. The prefix begins anywhere in a document; both may end within a word."""


@dataclasses.dataclass(frozen=True)
class PairSource(Source):
    """A source of pairs, in which the first text says what the second one is."""

    pairs: int = setting(10_000, "pairs in all three splits", low=100)

    @abc.abstractmethod
    def source(self, number: int) -> str:
        """The first text of the pair with this number."""

    @abc.abstractmethod
    def target(self, source: str) -> str:
        """The second text."""


class SyntheticText(Carved):
    """A source's documents as a corpus."""

    def __init__(self, name: str):
        self.name, self.source = name, read_name(name)
        self._present, self._advice = frozenset({"train"}), "make more documents (documents=…)"
        self.fingerprint = _fingerprint(self.source)

    def _read(self, split: str) -> Iterator[str]:
        return map(self.source.document, range(self.source.documents))

    def optimum(self, prefix: str, suffix: str) -> float:
        """See TextSource. Corpora of which it is not known have no such method."""
        return self.source.optimum(prefix, suffix)


class SyntheticPairs(CarvedPairs):
    """A source's pairs as a corpus. A pair is carved by its content, so none is in two splits."""

    def __init__(self, name: str):
        self.name, self.source = name, read_name(name)
        self._present, self._advice = frozenset({"train"}), "make more pairs, or longer ones of more words"
        self.fingerprint = _fingerprint(self.source)

    def _read_pairs(self, split: str) -> Iterator[tuple[str, str, str]]:
        for number in range(self.source.pairs):
            source = self.source.source(number)
            yield f"{self.name}, pair {number}", source, self.source.target(source)

    def optimum(self, prefix: str, suffix: str) -> float:
        """Nats: 0 for the right target of a source, which can be known for certain, and ∞ for any other."""
        return 0.0 if self.source.target(prefix) == suffix.strip() else float("inf")


def read_name(name: str) -> Source:
    """The source that a corpus name describes; UserError where there is none such, or an option is wrong."""
    prefix = next(prefix for prefix in _REGISTRIES if name.startswith(prefix))
    kind, *options = name.removeprefix(prefix).split(":")
    try:
        cls, changes = _kind(kind, prefix), {}
        for option in options:
            key, equals, value = option.partition("=")
            if not equals:
                known = (field.name for field in dataclasses.fields(cls))
                raise UserError(f"{option!r} is no option; options are NAME=VALUE.{did_you_mean(key, known)}")
            if key in changes:
                raise UserError(f"{key} is given twice")
            changes[key] = value
        return override(cls(), changes)
    except UserError as error:
        raise UserError(f"data.corpus={name}: {error}") from None


def _kind(kind: str, prefix: str) -> type[Source]:
    for other, registry in _REGISTRIES.items():
        if other != prefix and kind in registry.names():
            raise UserError(f"{kind} makes {'pairs' if other == PAIRS else 'running text'}; use {other}{kind}")
    registry: Registry = _REGISTRIES[prefix]
    return registry.get(kind)


def _fingerprint(source: Source) -> str:
    identity = ["synthetic", source.version, to_dict(source)]
    return hashlib.sha256(json.dumps(identity).encode()).hexdigest()
