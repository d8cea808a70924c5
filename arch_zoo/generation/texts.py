"""A trained run that reads and writes text."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence

from arch_zoo.generation.beam import BeamSearch, BeamSearcher
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.unmasking import Filler, Unmasking
from arch_zoo.generation.writer import Writer
from arch_zoo.objectives.base import Undefined
from arch_zoo.objectives.fill_in import FillIn
from arch_zoo.training.trained import TrainedRun

_GAP = re.compile(r"\[MASK(?::([1-9]\d*))?\]")


def _asked(run: TrainedRun) -> tuple:
    """What writers and fillers are made of: the run's model, and the objective it is asked by."""
    return (run.config.objective, run.config.model.architecture, run.model, run.parameters, run.tokenizer.vocabulary)


@dataclasses.dataclass
class TextWriter:
    """Continues texts; or, where the objective reads pairs, writes the counterparts of sources."""

    run: TrainedRun
    rows: int = 16

    def __post_init__(self):
        self.writer = Writer(*_asked(self.run), self.rows)
        self._searchers: dict[BeamSearch, BeamSearcher] = {}

    def context(self, prompt: str) -> list[int]:
        """The ids of a prompt."""
        return self.run.tokenizer.encode(prompt)

    def text(self, context: Sequence[int], written: Sequence[int]) -> str:
        """What was written behind a context, as it stands behind the prompt's own text."""
        decode = self.run.tokenizer.decode
        if self.run.config.objective.reads_pairs:
            return decode(written).strip()
        before, whole = decode(context), decode([*context, *written])
        return whole[len(before):] if whole.startswith(before) else decode(written)

    def write(self, prompts: Sequence[str], max_tokens: int, sampling: Sampling | None = None,
              stops: Sequence[str] = ()) -> list[str]:
        """A text behind each prompt, which ends before the first of the strings in `stops`."""
        return self.write_behind([self.context(prompt) for prompt in prompts], max_tokens, sampling, stops)

    def write_behind(self, contexts: Sequence[Sequence[int]], max_tokens: int, sampling: Sampling | None = None,
                     stops: Sequence[str] = ()) -> list[str]:
        """As `write`, behind prompts that are ids."""
        def finished(number: int, written: list[int]) -> bool:
            text = self.text(contexts[number], written)
            return any(stop in text for stop in stops)

        written = self.writer.write(contexts, max_tokens, sampling, finished=finished if stops else None)
        return [_before(self.text(c, w), stops) for c, w in zip(contexts, written, strict=True)]

    def stream(self, prompt: str, max_tokens: int, sampling: Sampling | None = None,
               stops: Sequence[str] = ()) -> Iterator[str]:
        """The text behind a prompt in pieces, as they are written."""
        context, shown = self.context(prompt), ""
        longest_stop = max(map(len, stops), default=0)
        for written in self.writer.stream(context, max_tokens, sampling):
            text = self.text(context, written)
            whole = _before(text, stops)
            # A character of several bytes may be half written, and so may a string at which to stop.
            ready = whole if len(whole) < len(text) else text[:max(len(text) - longest_stop, 0)].rstrip("\ufffd")
            if ready.startswith(shown):
                yield ready[len(shown):]
                shown = ready
            if len(whole) < len(text):
                return
        yield whole[len(shown):]

    def best(self, prompts: Sequence[str], max_tokens: int, search: BeamSearch,
             progress: Callable[[int], None] = lambda done: None) -> list[list[tuple[str, float]]]:
        """[(text, score), …] behind each prompt, best first."""
        if search not in self._searchers:
            self._searchers[search] = BeamSearcher(self.writer, search)
        contexts = [self.context(prompt) for prompt in prompts]
        found = self._searchers[search].search(contexts, max_tokens, progress)
        return [[(self.text(context, one.tokens), one.score) for one in hypotheses]
                for context, hypotheses in zip(contexts, found, strict=True)]


@dataclasses.dataclass
class TextFiller:
    """Fills in texts in which [MASK] stands for a token that is missing, and [MASK:3] for three."""

    run: TrainedRun
    rows: int = 16

    def __post_init__(self):
        self.filler = Filler(*_asked(self.run), self.rows)

    def ids(self, text: str) -> list[int]:
        """The ids of a text with gaps; Undefined where it has none. A space before a gap belongs to what fills it."""
        ids, end = [], 0
        for gap in _GAP.finditer(text):
            before = text[end:gap.start()]
            ids += self.run.tokenizer.encode(before.removesuffix(" ")) if before.strip() else []
            ids += [self.run.tokenizer.vocabulary.mask_id] * int(gap[1] or 1)
            end = gap.end()
        if not end:
            raise Undefined("it fills in gaps and does not write from left to right, and this text has none; write "
                            "[MASK] where a token is missing, [MASK:3] for three")
        return ids + (self.run.tokenizer.encode(text[end:]) if text[end:] else [])

    def fill(self, texts: Sequence[str], unmasking: Unmasking | None = None,
             sampling: Sampling | None = None) -> list[str]:
        """The texts without gaps."""
        return [self.run.tokenizer.decode(ids).strip() for ids in
                self.filler.fill([self.ids(text) for text in texts], unmasking, sampling)]


def fills_in(run: TrainedRun) -> bool:
    """Whether the run's objective fills in what is masked, and so does not write from left to right."""
    return isinstance(run.config.objective, FillIn)


def _before(text: str, stops: Sequence[str]) -> str:
    return text[:min((text.find(stop) for stop in stops if stop in text), default=len(text))]
