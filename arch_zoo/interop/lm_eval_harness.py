"""A run as a model of EleutherAI's lm-evaluation-harness, which registers itself there as `arch_zoo`.

Texts are scored and written as our own evaluation does it: by the same questions, windows and writer.
"""

import collections
import contextlib
import itertools
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
from absl import logging

from arch_zoo.errors import UserError
from arch_zoo.evaluation.progress import counter
from arch_zoo.generation.texts import TextWriter
from arch_zoo.interop.harness_arguments import Arguments, Generation, generation
from arch_zoo.objectives.base import Undefined
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.perplexity import Perplexity
from arch_zoo.tasks.questions import LEFT_TO_RIGHT, Likelihood, Question, Route, ask, cuts, route_of
from arch_zoo.training.trained import TrainedRun, open_predicting_run

try:
    from lm_eval.api.instance import Instance
    from lm_eval.api.model import LM
    from lm_eval.api.registry import register_model
except ModuleNotFoundError as error:
    raise UserError(f"the lm-evaluation-harness is not installed ({error.name} is missing): "
                    f"pip install 'arch_zoo[harness]'") from None

_LIKELIHOODS: dict[str | None, Likelihood] = {None: "left_to_right", "original": "trained",
                                              "within_word": "within_words"}


@register_model("arch_zoo")
class ArchZooLM(LM):
    """Answers the harness's three kinds of requests. UserError where a run has no answer to one."""

    def __init__(self, run: TrainedRun, arguments: Arguments | None = None):
        super().__init__()
        self.run, self.arguments = run, arguments or Arguments()
        self.subject = Subject.of(run, self.arguments.tokens_per_batch)
        self.likelihood = _LIKELIHOODS[self.arguments.pll]
        self.route = self._route()
        self._notes: collections.Counter[str] = collections.Counter()

    @classmethod
    def create_from_arg_obj(cls, arg_dict: Mapping[str, Any],
                            additional_config: Mapping[str, Any] | None = None) -> Self:
        """As the harness makes a model from its command line."""
        arguments = Arguments.of(arg_dict, additional_config or {})
        changes = {} if arguments.objective is None else {"objective": arguments.objective}
        return cls(open_predicting_run(pathlib.Path(arguments.workdir), changes), arguments)

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: Mapping[str, Any] | None = None) -> Self:
        """As above, from name=value,name=value."""
        from lm_eval.utils import simple_parse_args_string

        return cls.create_from_arg_obj(simple_parse_args_string(arg_string), additional_config)

    def _route(self) -> Route:
        """How texts are scored."""
        objective = self.subject.objective
        pseudo = objective.plausibility_route != LEFT_TO_RIGHT
        if self.arguments.pll is not None and not pseudo:
            raise UserError(f"--model_args pll={self.arguments.pll}: objective={objective.name} has a likelihood from "
                            f"left to right and no pseudo-log-likelihood; leave pll out")
        try:
            return route_of(objective, self.subject.vocabulary, self.likelihood)
        except Undefined as reason:
            remedy = "; pll=original or pll=within_word in --model_args scores texts by pseudo-log-likelihood"
            raise UserError(f"{self.run.workdir}: objective={objective.name} has no likelihood from left to right: "
                            f"{reason}{remedy if pseudo and self.arguments.pll is None else ''}") from None

    @contextlib.contextmanager
    def _answering(self, label: str) -> Iterator[Subject]:
        """The run, to be asked under this label; what has no meaning for it becomes a UserError."""
        try:
            yield Subject(self.run, self.subject.scorer, label)
        except Undefined as reason:
            raise UserError(f"{self.run.workdir}: {label} is undefined for objective={self.subject.objective.name}: "
                            f"{reason}") from None

    def _note_cuts(self, label: str, requests: int, tokens: Mapping[str, int]) -> None:
        """Count what did not fit into the model, and say it where there is any."""
        self._notes.update(tokens)
        if tokens["truncated"]:
            logging.warning("%s: %s of %s requests were too long for the model and lost %s tokens at their beginning",
                            label, f"{tokens['truncated']:,}", f"{requests:,}", f"{tokens['truncated_tokens']:,}")

    def _said(self, kind: str, requests: Sequence[Instance], answers: Iterable[Any]) -> list[Any]:
        """The answers, kept for the harness's own cache as well."""
        answers = list(answers)
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)
        return answers

    # --- requests --------------------------------------------------------------------------------------------------

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log p(continuation | context) in nats, whether greedy decoding writes it) of each request.

        Continuations of one context of one document are the alternatives of one question. A pseudo-log-likelihood
        knows no greedy decoding: False.
        """
        whole = self.arguments.pll is None
        for request in requests:
            if not request.args[1]:
                raise UserError(f"{_where(request)}: an empty continuation has no probability")
        groups = [list(group) for _, group in itertools.groupby(enumerate(requests), key=_question_key)]
        questions = [Question(group[0][1].args[0], tuple(request.args[1] for _, request in group), _where(group[0][1]))
                     for group in groups]
        with self._answering("loglikelihood") as subject:
            answers = ask(subject, questions, self.likelihood, greedy=whole)
        self._note_cuts("loglikelihood", len(requests), cuts(answers))
        if not whole:
            logging.warning("pseudo-log-likelihoods have no greedy decoding: numbers that need one, such as acc of "
                            "LAMBADA and exact_match, are 0 and mean nothing")
        return self._said("loglikelihood", requests, (
            (score.nats, bool(score.greedy)) for answer in answers for score in answer.scores))

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """log p(text) in nats, over windows that do not overlap, as our task `perplexity` has them."""
        texts = [request.args[0] for request in requests]
        with self._answering("loglikelihood_rolling") as subject:
            scored = Perplexity(length=self.arguments.length).scored(subject, self.route, texts)
        self._notes["unscored_tokens"] += scored.unscored
        if scored.unscored:
            logging.warning("loglikelihood_rolling: %s first tokens of texts were not scored: the tokenizer has no BOS "
                            "to predict them from", f"{scored.unscored:,}")
        sums = np.bincount(scored.documents, -scored.nats, minlength=len(texts))
        return self._said("loglikelihood_rolling", requests, sums.tolist())

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """What is written behind each context, up to the first string of `until`, which is left out."""
        alike: dict[Generation, list[int]] = collections.defaultdict(list)
        for number, request in enumerate(requests):
            alike[generation(request.args[1], self.arguments.max_gen_toks)].append(number)
        written, lost = [""] * len(requests), []
        said = counter("generate_until", len(requests), "texts")
        with self._answering("generate_until") as subject:
            writer = TextWriter(subject.run, self.arguments.rows)
            for how, numbers in alike.items():
                whole = [writer.context(requests[number].args[0]) for number in numbers]
                contexts = [writer.writer.fitted(context, how.max_tokens) for context in whole]
                lost += [len(a) - len(b) for a, b in zip(whole, contexts, strict=True)]
                texts = writer.write_behind(contexts, how.max_tokens, how.sampling, how.stops)
                for number, text in zip(numbers, texts, strict=True):
                    written[number] = text
                said(len(lost))
        self._note_cuts("generate_until", len(requests),
                        {"truncated": sum(n > 0 for n in lost), "truncated_tokens": sum(lost)})
        return self._said("generate_until", requests, written)

    # --- what the harness asks about the model -----------------------------------------------------------------------

    def get_model_info(self) -> dict[str, Any]:
        """What stands beside the numbers in the harness's results."""
        return {"objective": self.subject.objective.name, "how": self.route.words,
                "rolling": f"windows of {self.arguments.length} tokens, not overlapping",
                "tokenizer_sha256": self.run.tokenizer.sha256, "notes": dict(self._notes)}

    @property
    def tokenizer_name(self) -> str:
        """Asked for chat templates only."""
        raise _no_chat(self.run)

    def chat_template(self, chat_template: bool | str = False) -> str:
        """There is none."""
        raise _no_chat(self.run)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """There is none."""
        raise _no_chat(self.run)


def _no_chat(run: TrainedRun) -> UserError:
    return UserError(f"{run.workdir}: has no chat template; leave out --apply_chat_template")


def _question_key(numbered: tuple[int, Instance]) -> tuple:
    """The same for continuations that belong to one question; of a request that says no document, its own number."""
    number, request = numbered
    return (request.args[0], request.task_name, number if request.doc_id is None else request.doc_id)


def _where(request: Instance) -> str:
    return f"{request.task_name or 'loglikelihood'}: document {request.doc_id}"
