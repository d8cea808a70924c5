"""Text in a language that is built like English and means nothing, with an entropy that is known.

    The balas that a lize teda temis tupuly zedi a mimi. A bala [ the nufo that is lize tiduly nises] nuras a gupu ruvi.

Verbs agree with their subjects across clauses of any depth, and brackets close as they were opened, so much of the next
word's distribution depends on words that may be far away.
"""

import dataclasses
import functools
import random
import re
from collections.abc import Iterable, Mapping

from arch_zoo.data.synthetic.beginnings import Beginnings
from arch_zoo.data.synthetic.grammars import END, Grammar, Rule
from arch_zoo.data.synthetic.sources import TextSource
from arch_zoo.data.synthetic.words import made_up_words
from arch_zoo.registry import SYNTHETIC_TEXT
from arch_zoo.settings import setting

_SENTENCE, _DOCUMENT, _MORE = "sentence", "document", "more"
_WORD = re.compile(r" ?[A-Za-z]+| ?[^A-Za-z ]| ")
# Of the made-up words, the share that are of each class.
_CLASSES = {"noun": 0.4, "transitive": 0.2, "intransitive": 0.15, "saying": 0.05, "adjective": 0.1, "adverb": 0.1}
_NUMBERS = ("one", "many")


@SYNTHETIC_TEXT.register("grammar")
@dataclasses.dataclass(frozen=True)
class English(TextSource):
    """Sentences of a probabilistic grammar; a document ends after each of its sentences with the same probability."""

    sentences: float = setting(24.0, "mean number of sentences in a document", low=1.0)
    words: int = setting(1500, "stems; the k-th of its class is drawn in proportion to 1 / k", low=20, high=4000)
    clauses: float = setting(0.25, "probability that a clause or a bracket stands behind a subject", low=0.01, high=0.4)

    @functools.cached_property
    def grammar(self) -> Grammar:
        """Of whole documents; `sentence` is the nonterminal of a sentence."""
        return make_grammar(self.words, self.clauses, 1 / self.sentences)

    @functools.cached_property
    def beginnings(self) -> Beginnings:
        """How text goes on from anywhere in a document."""
        return Beginnings(self.grammar)

    def document(self, number: int) -> str:
        return text_of(self.grammar.sample(random.Random(f"grammar {self.seed} {number}")))

    def optimum(self, prefix: str, suffix: str) -> float:
        before, whole = (self.beginnings.log_probability(split(text)) for text in (prefix, prefix + suffix))
        return before - whole

    def per_sentence(self) -> tuple[float, float, float]:
        """(nats, words, bytes) expected of a sentence with its full stop, whether the document then ends included."""
        words, size = self.grammar.mean_length()
        return self.grammar.entropy() / self.sentences, words / self.sentences, size / self.sentences


def text_of(words: Iterable[str]) -> str:
    """Words carry the space before them; a text begins without one."""
    return "".join(words).removeprefix(" ")


def split(text: str) -> list[str]:
    """The words of a part of a text, the first and the last of which may be parts of words."""
    return _WORD.findall(text)


def words_of(document: str) -> list[str]:
    """The words of a whole document, END included: what `Grammar.log_probabilities` reads."""
    return [*split(f" {document}"), END]


def make_grammar(words: int, clauses: float, ends: float) -> Grammar:
    """`clauses`: probability of a clause behind a subject; `ends`: that a sentence is the document's last one."""
    stems = _stems(words)
    rules: dict[str, dict[str, Rule]] = {"that": {" that": Rule(1)}, "stop": {".": Rule(1)},
                                         "round": {")": Rule(1)}, "square": {"]": Rule(1)}}
    for number in _NUMBERS:
        rules |= _verb_phrases(number, stems, clauses)
    rules |= _nouns("subject", stems, {number: (f"behind_{number}",) for number in _NUMBERS})
    rules |= _nouns("object", stems, dict.fromkeys(_NUMBERS, ()))
    rules |= _nouns("inner", stems, {number: (f"inner_behind_{number}",) for number in _NUMBERS})
    # Only `those` says that a clause follows an object, since what may be there must show before the object is over.
    rules["those"] = _noun_phrase(stems, {"many": ("that", "relative_many")}, "those")
    rules["clause"] = _determiners("subject")
    rules["object"] = {**_scaled(_determiners("object"), 1 - clauses / 2), " those": Rule(clauses / 2, ("those",))}
    rules[_SENTENCE] = {f" {word[1:].capitalize()}": Rule(rule.probability, (*rule.body, "stop"))
                        for word, rule in rules["clause"].items()}
    rules[_DOCUMENT] = {word: Rule(rule.probability, (*rule.body, _MORE)) for word, rule in rules[_SENTENCE].items()}
    rules[_MORE] = {END: Rule(ends), **_scaled(rules[_DOCUMENT], 1 - ends)} if ends < 1 else {END: Rule(1)}
    return Grammar(rules, _DOCUMENT)


def _verb_phrases(number: str, stems: Mapping[str, list[str]], clauses: float) -> dict[str, dict[str, Rule]]:
    """What may stand behind a subject of the number: a clause or a bracket, then the verb, which agrees with it."""
    be, ending = (" is", "s") if number == "one" else (" are", "")
    verb, inner = f"verb_{number}", f"inner_verb_{number}"
    takers = _drawn(stems["transitive"], ending)
    plain = {**_scaled(takers, 0.45, ("object",)), **_scaled(_drawn(stems["intransitive"], ending), 0.3),
             **_scaled(_drawn(stems["saying"], ending), 0.1, ("that", "clause")), be: Rule(0.15, ("adjective",))}
    often = _scaled(_drawn(stems["adverb"], "ly"), 1)
    rules = {f"verb_{number}": {**_scaled(often, 0.15, (f"plain_{number}",)), **_scaled(plain, 0.85)},
             f"plain_{number}": plain, "adjective": _drawn(stems["adjective"], ""), inner: takers}
    relative = f"relative_{number}"
    rules[relative] = {**_scaled(rules[verb], 0.6), **_scaled(_determiners("inner"), 0.4)}
    rules[f"behind_{number}"] = {" that": Rule(0.7 * clauses, (relative, verb)),
                                 " (": Rule(0.15 * clauses, ("opened", "round", verb)),
                                 " [": Rule(0.15 * clauses, ("opened", "square", verb)),
                                 **_scaled(rules[verb], 1 - clauses)}
    rules[f"inner_behind_{number}"] = {" that": Rule(clauses, (relative, inner)), **_scaled(takers, 1 - clauses)}
    rules["opened"] = _determiners("subject")
    return rules


def _determiners(kind: str) -> dict[str, Rule]:
    """The first words of a noun phrase of the kind; `the` leaves its number open."""
    return {" the": Rule(0.5, (kind + "_any",)), " a": Rule(0.3, (kind + "_one",)),
            " many": Rule(0.2, (kind + "_many",))}


def _nouns(kind: str, stems: Mapping[str, list[str]],
           behind: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, Rule]]:
    """The phrases of a noun of either number and of each; `behind`: what follows a noun of a number."""
    phrases = {f"{kind}_{number}": _noun_phrase(stems, {number: behind[number]}, f"{kind}_{number}")
               for number in _NUMBERS}
    return {**phrases, f"{kind}_any": _noun_phrase(stems, behind, f"{kind}_any")}


def _noun_phrase(stems: Mapping[str, list[str]], behind: Mapping[str, tuple[str, ...]],
                 name: str) -> dict[str, Rule]:
    """Adjectives, each as likely as another one, and a noun."""
    found = _scaled(_drawn(stems["adjective"], ""), 0.2, (name,))
    for number, body in behind.items():
        nouns = _drawn(stems["noun"], "" if number == "one" else "s")
        found |= _scaled(nouns, 0.8 / len(behind), body)
    return found


def _scaled(rules: Mapping[str, Rule], share: float, body: tuple[str, ...] = ()) -> dict[str, Rule]:
    """The rules as a share of others; with `body` behind what they have."""
    return {word: Rule(share * rule.probability, rule.body + body) for word, rule in rules.items()}


def _drawn(stems: list[str], ending: str) -> dict[str, Rule]:
    total = sum(1 / k for k in range(1, len(stems) + 1))
    return {f" {stem}{ending}": Rule(1 / k / total) for k, stem in enumerate(stems, start=1)}


def _stems(count: int) -> dict[str, list[str]]:
    """{class: its words}; every class has one at least."""
    words, found, begin = made_up_words(count), {}, 0.0
    for name, share in _CLASSES.items():
        found[name] = words[round(begin * count):round((begin + share) * count)]
        begin += share
    return found
