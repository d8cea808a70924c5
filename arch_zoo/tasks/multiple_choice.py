"""Multiple choice from a file of one's own, with examples in the prompt (Brown et al. 2020) or without."""

import dataclasses
from typing import Any, ClassVar

import numpy as np

from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.settings import setting
from arch_zoo.tasks.base import Metric, Outcome, Subject, Task, mean_of
from arch_zoo.tasks.files import choices_of, json_lines, text_field
from arch_zoo.tasks.questions import LIKELIHOOD_HELP, Answer, Likelihood, Question, ask, cuts, route_of


@dataclasses.dataclass(frozen=True)
class Item:
    """A line of the file."""

    query: str
    choices: tuple[str, ...]
    answer: int
    where: str


@TASKS.register("multiple_choice")
@dataclasses.dataclass(frozen=True)
class MultipleChoice(Task):
    """JSON-lines with the fields query (or context), choices, and answer: the number of the right choice, or its text.

    The choice with the highest score is taken, by four scores: log p(choice | prompt); that divided by the choice's
    tokens, or by its bytes (GPT-2, GPT-3); and log p(choice | prompt) − log p(choice | answer_context) (GPT-3, section
    2.4). With shots=k the prompt begins with k answered examples of the file `train`, drawn anew for each question; the
    draw is a function of seed and question.
    """

    shots: int = setting(0, "answered examples before each question", low=0)
    train: str | None = setting(None, "file that the examples are drawn from")
    seed: int = setting(0, "of that draw", low=0)
    prompt: str = setting("{query}", "how a question is written; {query} stands for the query")
    separator: str = setting(" ", "between a question and its answer")
    between: str = setting("\n\n", "between an example and what follows it")
    answer_context: str = setting("Answer:", "what stands for the prompt in the unconditional likelihood")
    likelihood: Likelihood = setting("auto", LIKELIHOOD_HELP)

    places: ClassVar[tuple[str, ...]] = ("multiple_choice.jsonl",)

    def metrics(self) -> tuple[Metric, ...]:
        chance = float(np.mean([1 / len(item.choices) for item in self._items(self.path, self.limit)]))
        ways = {"acc": ("", "log p(choice | prompt)"), "acc_per_token": (", per token", "that, divided by its tokens"),
                "acc_per_byte": (", per byte", "that, divided by its bytes"),
                "acc_unconditional": (", unconditional", f"that, less log p(choice | {self.answer_context!r})")}
        return tuple(Metric(name, f"Multiple choice{title}", "higher", "accuracy", chance,
                            f"share of questions whose right choice has the highest score: {about}")
                     for name, (title, about) in ways.items())

    def run(self, subject: Subject) -> Outcome:
        items = self._items(self.path, self.limit)
        examples = self._examples()
        given = [Question(self._prompt(n, item, examples), self._alternatives(item), item.where)
                 for n, item in enumerate(items)]
        bare = [Question(self.answer_context, self._alternatives(item), item.where) for item in items]
        answers = ask(subject, given + bare, self.likelihood)
        answers, unconditional = answers[:len(items)], answers[len(items):]
        chosen = [_chosen(answer, before) for answer, before in zip(answers, unconditional, strict=True)]
        right = [{way: float(choice == item.answer) for way, choice in by_way.items()}
                 for item, by_way in zip(items, chosen, strict=True)]
        return Outcome({way: mean_of([row[way] for row in right]) for way in chosen[0]}, len(items),
                       route_of(subject.objective, subject.vocabulary, self.likelihood).words,
                       [{"doc_id": n, "doc": {"query": item.query, "choices": item.choices, "answer": item.answer},
                         "target": item.answer, **answer.record(), "unconditional": before.nats, "chosen": by_way} | row
                        for n, (item, answer, before, by_way, row)
                        in enumerate(zip(items, answers, unconditional, chosen, right, strict=True))],
                       notes=cuts(answers))

    def _items(self, path, limit: int | None) -> list[Item]:
        return [Item(text_field(where, line, "query", "context"), *choices_of(where, line), where)
                for where, line in json_lines(path, limit)]

    def _examples(self) -> list[Item]:
        if not self.shots:
            return []
        if self.train is None:
            raise UserError(f"task {self.name}: shots={self.shots} needs examples; give tasks.{self.name}.train=FILE")
        examples = self._items(self.replace(data=self.train).path, None)
        if len(examples) <= self.shots:
            raise UserError(f"{self.train}: has {len(examples)} examples; shots={self.shots} needs one more than that")
        return examples

    def _prompt(self, number: int, item: Item, examples: list[Item]) -> str:
        """The examples of this question, and the question."""
        others = [one for one in examples if (one.query, one.choices) != (item.query, item.choices)]
        drawn = np.random.default_rng([self.seed, number]).permutation(len(others))[:self.shots]
        shown = [self._written(others[i]) + self.separator + others[i].choices[others[i].answer] for i in drawn]
        return self.between.join([*shown, self._written(item)])

    def _written(self, item: Item) -> str:
        return self.prompt.replace("{query}", item.query)

    def _alternatives(self, item: Item) -> tuple[str, ...]:
        return tuple(self.separator + choice for choice in item.choices)


def _chosen(answer: Answer, unconditional: Answer) -> dict[str, Any]:
    """{way of scoring: number of the choice that it takes}."""
    nats = np.array(answer.nats)
    scores = {"acc": nats, "acc_per_token": nats / [score.tokens for score in answer.scores],
              "acc_per_byte": nats / [score.bytes for score in answer.scores],
              "acc_unconditional": nats - unconditional.nats}
    return {way: int(np.argmax(values)) for way, values in scores.items()}
