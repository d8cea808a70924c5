"""BLiMP: does a model prefer a sentence over one that breaks a rule of grammar? (Warstadt et al. 2020)"""

import dataclasses
import itertools
from typing import ClassVar

from arch_zoo.evaluation.minimal_pairs import Pair, preferred, read_pairs
from arch_zoo.registry import TASKS
from arch_zoo.settings import setting
from arch_zoo.tasks.base import Measured, Metric, Outcome, Part, Subject, Task, mean_of, mean_of_means
from arch_zoo.tasks.questions import LIKELIHOOD_HELP, Answer, Likelihood, Question, ask, cuts, route_of


@TASKS.register("blimp")
@dataclasses.dataclass(frozen=True)
class Blimp(Task):
    """Pairs of sentences that differ in grammar alone, in paradigms of 1,000, those in phenomena.

    A pair counts 1 where the good sentence is the likelier one, 0 where the bad one is, a half for a tie. The score of
    BLiMP and of each phenomenon is the mean over paradigms.
    """

    likelihood: Likelihood = setting("trained", LIKELIHOOD_HELP)

    places: ClassVar[tuple[str, ...]] = ("blimp",)

    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("acc", "BLiMP", "higher", "accuracy", 0.5,
                       "share of BLiMP's minimal pairs whose grammatical sentence scores higher, mean over paradigms"),)

    def run(self, subject: Subject) -> Outcome:
        pairs = sorted(read_pairs(str(self.path), self.limit, f"task {self.name}"), key=lambda pair: pair.kind)
        questions = [Question("", (pair.good, pair.bad), f"{pair.kind}: {pair.good}") for pair in pairs]
        answers = ask(subject, questions, self.likelihood)
        kinds = {kind: [number for number, _ in group] for kind, group in
                 itertools.groupby(enumerate(pairs), key=lambda numbered: numbered[1].kind)}
        credit = [preferred(*answer.nats) for answer in answers]
        parts = {kind: Part({"acc": mean_of([credit[n] for n in numbers])}, len(numbers), pairs[numbers[0]].phenomenon)
                 for kind, numbers in kinds.items()}
        groups = {}
        for group in sorted({part.group for part in parts.values()} - {""}):
            members = tuple(kind for kind, part in parts.items() if part.group == group)
            groups[group] = Part({"acc": _mean(parts, members)}, sum(parts[kind].count for kind in members),
                                 members=members)
        return Outcome({"acc": _mean(parts, tuple(parts))}, len(pairs),
                       route_of(subject.objective, subject.vocabulary, self.likelihood).words,
                       [_sample(n, pair, answer, credit[n])
                        for n, (pair, answer) in enumerate(zip(pairs, answers, strict=True))],
                       parts, groups, cuts(answers))


def _mean(parts: dict[str, Part], members: tuple[str, ...]) -> Measured:
    return mean_of_means([parts[kind].values["acc"] for kind in members])


def _sample(number: int, pair: Pair, answer: Answer, credit: float) -> dict:
    return {"doc_id": number, "doc": {"sentence_good": pair.good, "sentence_bad": pair.bad, "UID": pair.kind,
                                      "linguistics_term": pair.phenomenon}, "target": 0, **answer.record(),
            "acc": credit}
