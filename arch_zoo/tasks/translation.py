"""Sequence to sequence: what a model writes for a source, beside what is right (BLEU, chrF, exact match)."""

import dataclasses
import itertools
import pathlib
from collections.abc import Iterator

from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.parallel import read_pairs
from arch_zoo.data.splits import whole_pairs
from arch_zoo.errors import UserError
from arch_zoo.evaluation.progress import counter
from arch_zoo.evaluation.sequences import matches, score_sequences
from arch_zoo.generation.beam import BeamSearch
from arch_zoo.generation.texts import TextWriter
from arch_zoo.objectives.base import Undefined
from arch_zoo.registry import TASKS
from arch_zoo.settings import setting
from arch_zoo.tasks.base import Measured, Metric, Outcome, Subject, Task


@dataclasses.dataclass(frozen=True)
class _Sequences(Task):
    """Pairs of the run's own test split, or of `data`: SOURCES,TARGETS, or a FILE with a pair in each line."""

    text_field: str = setting("source,target", "data, in JSON-lines: the fields SOURCE,TARGET")
    search: BeamSearch = setting(BeamSearch, "how sequences are searched for")
    max_tokens: int = setting(128, "tokens of a sequence at most", low=1)
    rows: int = setting(64, "hypotheses written at a time", low=1)

    def require_data(self) -> None:
        if self.data is not None:
            for path in self._files():
                if not path.is_file():
                    raise UserError(f"task {self.name}: {path}: no such file")

    def _files(self) -> list[pathlib.Path]:
        files = [pathlib.Path(part).expanduser() for part in self.data.split(",")]
        if len(files) > 2:
            raise UserError(f"task {self.name}: data={self.data}: expected SOURCES,TARGETS or FILE")
        return files

    def _pairs(self, subject: Subject) -> Iterator[tuple[str, str]]:
        if self.data is not None:
            return whole_pairs(read_pairs(self._files(), self.text_field))
        config = subject.run.config.data
        if not config.parallel:
            raise Undefined(f"the run was trained on {config.corpus}, which has no pairs of texts; give "
                            f"tasks.{self.name}.data=SOURCES,TARGETS")
        return open_corpus(config).pairs("test")

    def run(self, subject: Subject) -> Outcome:
        if not subject.objective.reads_pairs:
            raise Undefined("it is not trained on pairs of texts; for an imported model that is, "
                            "--objective=translation")
        pairs = list(itertools.islice(self._pairs(subject), self.limit))
        sources, references = map(list, zip(*pairs, strict=True))
        writer = TextWriter(subject.run, max(self.rows, self.search.beam))
        best = writer.best(sources, self.max_tokens, self.search, counter(subject.label, len(pairs), "sequences"))
        written = [" ".join(hypotheses[0][0].split()) for hypotheses in best]
        scores = score_sequences(written, references)
        samples = [{"doc_id": n, "doc": {"source": source, "target": target}, "target": target, "resps": [text],
                    "score": hypotheses[0][1], "exact_match": float(matches(text, target))}
                   for n, ((source, target), text, hypotheses) in enumerate(zip(pairs, written, best, strict=True))]
        search, measured = self.search, {metric.name: scores[metric.name] for metric in self.metrics()}
        how = [f"beam search, beam {search.beam}, length penalty {search.length_penalty:g} ({search.normalise})",
               *(score.text for score in measured.values())]
        return Outcome({name: Measured(score.value, score.error) for name, score in measured.items()}, len(pairs),
                       "; ".join(how), samples)


@TASKS.register("translation")
@dataclasses.dataclass(frozen=True)
class Translation(_Sequences):
    """BLEU and chrF over the whole corpus, by sacrebleu."""

    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("bleu", "BLEU", "higher", "BLEU", None, "sacrebleu's corpus BLEU of what beam search writes"),
                Metric("chrf", "chrF", "higher", "chrF", None, "sacrebleu's chrF2 of the same"))


@TASKS.register("exact_match")
@dataclasses.dataclass(frozen=True)
class ExactMatch(_Sequences):
    """The share of sequences that are right from the first to the last word."""

    search: BeamSearch = setting(BeamSearch(beam=1, length_penalty=0.0), "how sequences are searched for")
    max_tokens: int = setting(256, "tokens of a sequence at most", low=1)

    def metrics(self) -> tuple[Metric, ...]:
        return (Metric("exact_match", "Exact match", "higher", "accuracy", None,
                       "share of sequences that are the same as the reference but for white space"),)
