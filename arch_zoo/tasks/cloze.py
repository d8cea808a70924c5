"""Cloze: which of several words fills the blank in a text? (As in the Children's Book Test; Hill et al. 2016)"""

import dataclasses
from typing import ClassVar

import numpy as np

from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.settings import setting
from arch_zoo.tasks.base import Metric, Outcome, Subject, Task, mean_of
from arch_zoo.tasks.files import choices_of, json_lines, text_field
from arch_zoo.tasks.questions import LIKELIHOOD_HELP, Likelihood, Question, ask, cuts, route_of


@TASKS.register("cloze")
@dataclasses.dataclass(frozen=True)
class Cloze(Task):
    """JSON-lines with the fields text, in which a blank stands once, choices and answer; context may stand before it.

    The filler is taken with which the whole text is likeliest, what follows the blank included; the context is given
    and not scored. Masked models score each token of the text with all others in view.
    """

    blank: str = setting("XXXXX", "how the blank is written")
    separator: str = setting(" ", "between the context and the text")
    likelihood: Likelihood = setting("trained", LIKELIHOOD_HELP)

    places: ClassVar[tuple[str, ...]] = ("cloze.jsonl",)

    def metrics(self) -> tuple[Metric, ...]:
        chance = float(np.mean([1 / len(choices) for _, choices, _ in self._items()]))
        return (Metric("acc", "Cloze", "higher", "accuracy", chance,
                       "share of texts that are likeliest with the right filler in their blank"),)

    def run(self, subject: Subject) -> Outcome:
        items = self._items()
        questions = [question for question, _, _ in items]
        answers = ask(subject, questions, self.likelihood)
        chosen = [int(np.argmax(answer.nats)) for answer in answers]
        credit = [float(choice == right) for choice, (_, _, right) in zip(chosen, items, strict=True)]
        return Outcome({"acc": mean_of(credit)}, len(items),
                       route_of(subject.objective, subject.vocabulary, self.likelihood).words,
                       [{"doc_id": n, "doc": {"choices": choices, "answer": right}, "target": right, **answer.record(),
                         "chosen": choice, "acc": one}
                        for n, ((_, choices, right), answer, choice, one)
                        in enumerate(zip(items, answers, chosen, credit, strict=True))], notes=cuts(answers))

    def _items(self) -> list[tuple[Question, tuple[str, ...], int]]:
        """(question, choices, which is right) of each line."""
        found = []
        for where, line in json_lines(self.path, self.limit):
            text, context = text_field(where, line, "text"), text_field(where, line, "context", default="")
            choices, right = choices_of(where, line)
            if text.count(self.blank) != 1:
                raise UserError(f"{where}: the blank {self.blank!r} must stand in the text once, it does "
                                f"{text.count(self.blank)} times; tasks.{self.name}.blank says how it is written")
            space = self.separator if context else ""
            found.append((Question(context, tuple(space + text.replace(self.blank, choice) for choice in choices),
                                   where), choices, right))
        return found
