"""LAMBADA: the last word of a passage, which needs more than its last sentence (Paperno et al. 2016)."""

import dataclasses
from typing import ClassVar

from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.tasks.base import Metric, Outcome, Subject, Task, exponential, mean_of
from arch_zoo.tasks.files import json_lines, text_field
from arch_zoo.tasks.questions import LEFT_TO_RIGHT, Question, ask, cuts


@TASKS.register("lambada")
@dataclasses.dataclass(frozen=True)
class Lambada(Task):
    """A passage in a line, as a string or as the field text; what follows its last space is to be guessed.

    A guess is right where greedy decoding writes all tokens of the word. A model without a left-to-right route has no
    greedy decoding and no probability of a word of unknown length: for it the task is undefined.
    """

    places: ClassVar[tuple[str, ...]] = ("text/lambada_test.jsonl", "lambada_test.jsonl", "lambada.jsonl")

    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("acc", "LAMBADA", "higher", "accuracy", None,
                       "share of passages whose whole last word is what greedy decoding writes"),
                Metric("perplexity", "LAMBADA, perplexity", "lower", "per word", None,
                       "e to the mean of −log p(last word | passage), whatever its number of tokens"))

    def run(self, subject: Subject) -> Outcome:
        questions = [_question(where, value) for where, value in json_lines(self.path, self.limit)]
        answers = ask(subject, questions, "left_to_right", greedy=True)
        scores = [answer.scores[0] for answer in answers]
        return Outcome({"acc": mean_of([score.greedy for score in scores]),
                        "perplexity": exponential(mean_of([-score.nats for score in scores]))},
                       len(questions), LEFT_TO_RIGHT,
                       [{"doc_id": n, "doc": {"text": question.context + question.alternatives[0]},
                         "target": question.alternatives[0], **answer.record(), "acc": float(answer.scores[0].greedy),
                         "perplexity": -answer.scores[0].nats}
                        for n, (question, answer) in enumerate(zip(questions, answers, strict=True))],
                       notes=cuts(answers))


def _question(where: str, value) -> Question:
    text = (value if isinstance(value, str) else text_field(where, value, "text")).strip()
    context, space, word = text.rpartition(" ")
    if not context.strip():
        raise UserError(f"{where}: a passage needs two words at least, got {text[:40]!r}")
    return Question(context, (space + word,), where)
