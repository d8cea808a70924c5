"""Written sequences against references: BLEU and chrF as sacrebleu computes them, and exact match."""

import dataclasses
import math
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class SequenceScore:
    """A score of a whole corpus; `error` where it is a mean over its items, `text` as a person cites it."""

    value: float
    error: float | None
    text: str


def score_sequences(written: Sequence[str], references: Sequence[str]) -> dict[str, SequenceScore]:
    """{"bleu", "chrf", "exact_match"}: the first two from 0 to 100, with sacrebleu's signatures."""
    import sacrebleu

    scores = {}
    for name, metric in (("BLEU", sacrebleu.BLEU()), ("chrF", sacrebleu.CHRF())):
        found = metric.corpus_score(list(written), [list(references)])
        scores[name.lower()] = SequenceScore(found.score, None, f"{name} {found.score:.2f}  {metric.get_signature()}")
    right = [matches(one, reference) for one, reference in zip(written, references, strict=True)]
    share = sum(right) / len(right)
    error = math.sqrt(share * (1 - share) / (len(right) - 1)) if len(right) > 1 else None
    scores["exact_match"] = SequenceScore(share, error, f"exact match {share:.2%} of {len(right):,}")
    return scores


def matches(written: str, reference: str) -> bool:
    """Whether two sequences are the same but for white space."""
    return written.split() == reference.split()
