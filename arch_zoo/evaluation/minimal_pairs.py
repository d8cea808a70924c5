"""Minimal pairs: does a model prefer a sentence over the same sentence made worse? (BLiMP; Warstadt et al. 2020)"""

import collections
import dataclasses
import itertools
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

import numpy as np

from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.objectives.base import Objective

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")
_WORD = re.compile(r"[A-Za-z][a-z']*[,;:]?$")
_SHORTEST, _LONGEST = 6, 20  # words


@dataclasses.dataclass(frozen=True)
class Pair:
    """A sentence, a worse version of it, the text before it, and how it was made worse."""

    context: str
    good: str
    bad: str
    kind: str
    phenomenon: str = ""


def make_pairs(held_out: Iterable[str], training: Iterable[str], count: int) -> list[Pair]:
    """Pairs from held-out documents, `count` at most of each kind, no sentence twice, the same on every call.

    swap: two neighbouring words change places. replace: a word gives way to another one of the same frequency band
    (counts in the training text between the same powers of two), so that rarity alone does not tell them apart.
    """
    rng = np.random.default_rng(0)
    bands = _frequency_bands(training)
    by_word = {word: band for band, words in bands.items() for word in words}
    sentences = list({" ".join(words): (context, words) for context, words in _sentences(held_out)}.values())
    order = rng.permutation(len(sentences))
    pairs: dict[str, list[Pair]] = {"swap": [], "replace": []}
    for index in order:
        context, words = sentences[index]
        for kind, worse in (("swap", _swapped(words, rng)), ("replace", _replaced(words, bands, by_word, rng))):
            if worse is not None and len(pairs[kind]) < count:
                pairs[kind].append(Pair(context, " ".join(words), " ".join(worse), kind))
    return pairs["swap"] + pairs["replace"]


def _sentences(documents: Iterable[str]) -> Iterable[tuple[str, list[str]]]:
    """(text before it in its paragraph, words) for the sentences of ordinary words."""
    for document in documents:
        for paragraph in document.split("\n\n"):
            text = " ".join(paragraph.split())
            sentences = _SENTENCE_END.split(text)
            for i, sentence in enumerate(sentences):
                words = sentence.split()
                if _SHORTEST <= len(words) <= _LONGEST and sentence[-1] in ".!?" and \
                        all(_WORD.match(word.rstrip(".!?")) for word in words):
                    yield " ".join(sentences[:i]), words


def _frequency_bands(training: Iterable[str]) -> dict[int, list[str]]:
    counts = collections.Counter(word for text in training for word in re.findall(r"\b[a-z]{2,}\b", text))
    bands = collections.defaultdict(list)
    for word in sorted(counts):
        if counts[word] >= 4:
            bands[counts[word].bit_length()].append(word)
    return bands


def _swapped(words: list[str], rng: np.random.Generator) -> list[str] | None:
    places = [i for i in range(1, len(words) - 2)
              if words[i].islower() and words[i + 1].isalpha() and words[i].isalpha() and words[i] != words[i + 1]]
    if not places:
        return None
    i = int(rng.choice(places))
    return [*words[:i], words[i + 1], words[i], *words[i + 2:]]


def _replaced(words: list[str], bands: dict[int, list[str]], by_word: dict[str, int],
              rng: np.random.Generator) -> list[str] | None:
    places = [i for i in range(1, len(words) - 1) if len(bands.get(by_word.get(words[i], -1), ())) > 1]
    if not places:
        return None
    i = int(rng.choice(places))
    others = [word for word in bands[by_word[words[i]]] if word != words[i]]
    return [*words[:i], str(rng.choice(others)), *words[i + 1:]]


def read_pairs(path: str, count: int | None, asked_by: str = "minimal_pairs") -> list[Pair]:
    """Pairs from BLiMP's JSON-lines: a file, or every *.jsonl of a folder; the first `count` of each file.

    Fields: sentence_good, sentence_bad; the kind is the line's UID, else the file's name, and its phenomenon the
    linguistics_term, where there is one.
    """
    where = pathlib.Path(path)
    files = sorted(where.glob("*.jsonl")) if where.is_dir() else [where]
    if not files or not files[0].is_file():
        raise UserError(f"{asked_by}: {path}: no JSON-lines file there")
    pairs = []
    for file in files:
        with file.open("rb") as lines:
            pairs.extend(_pair(line, f"{file}:{number}", file.stem)
                         for number, line in enumerate(itertools.islice(lines, count), 1))
    if not pairs:
        raise UserError(f"{asked_by}: no minimal pair in {', '.join(map(str, files))}")
    return pairs


def _pair(line: bytes, where: str, kind: str) -> Pair:
    try:
        fields = json.loads(line.decode())
        pair = Pair("", fields["sentence_good"], fields["sentence_bad"], str(fields.get("UID", kind)),
                    str(fields.get("linguistics_term", "")))
    except (ValueError, KeyError, TypeError) as error:  # ValueError: neither UTF-8 nor JSON
        raise UserError(f"{where}: not a minimal pair ({type(error).__name__}: {error}); needed are sentence_good and "
                        f"sentence_bad") from None
    if not all(isinstance(text, str) and text.strip() for text in (pair.good, pair.bad)):
        raise UserError(f"{where}: not a minimal pair: sentence_good and sentence_bad must be text, and not empty")
    return pair


def preferences(scorer: Scorer, objective: Objective, tokenizer: Tokenizer, pairs: list[Pair],
                context_tokens: int) -> np.ndarray:
    """float [pairs]: 1 where the good sentence scores higher, 0 where the bad one does, 0.5 for a tie."""
    def items() -> Iterator[list]:
        for pair in pairs:
            context = tokenizer.encode(pair.context)[-context_tokens:] if context_tokens and pair.context else []
            space = " " if context and not tokenizer.prefixes_space else ""
            for sentence in (pair.good, pair.bad):
                yield objective.plausibility(context, tokenizer.encode(space + sentence), tokenizer.vocabulary)

    return np.array([preferred(good, bad) for good, bad in scorer.scores(items()).reshape(-1, 2)])


def preferred(good: float, bad: float) -> float:
    """1 where the good sentence scores higher, 0 where the bad one does, 0.5 for a tie."""
    return 1.0 if good > bad else 0.0 if good < bad else 0.5
