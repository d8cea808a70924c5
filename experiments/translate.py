"""Translate a file, line by line, with a run that was trained on pairs of texts; score it where references are given.

    python -m experiments.translate --workdir=runs/multi30k --input=FILE --beam=4 --length_penalty=0.6
    python -m experiments.translate --workdir=runs/multi30k --input=FILE --reference=FILE --output=FILE

The lines go to --output, or to the terminal. BLEU and chrF are sacrebleu's, printed with their signatures.
"""

import dataclasses
import sys
import time

from absl import flags, logging

from arch_zoo.errors import UserError
from arch_zoo.generation.beam import BeamSearch
from arch_zoo.settings import Settings, setting
from experiments import asking, program
from experiments.environment import restart_in_fast_environment

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required)")
INPUT = flags.DEFINE_string("input", None, "the sources, one a line (required)")
OUTPUT = flags.DEFINE_string("output", None, "write the translations to this file")
REFERENCE = flags.DEFINE_string("reference", None, "translations to compare with, a line for each source")
MAX_TOKENS = flags.DEFINE_integer("max_tokens", 128, "tokens of a translation at most", lower_bound=1)
ROWS = flags.DEFINE_integer("rows", 64, "hypotheses written at a time", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class TranslateConfig(Settings):
    """How translations are searched for."""

    search: BeamSearch = setting(BeamSearch, "beam search")


def main(asked: asking.Request, arguments: list[str]) -> None:
    """Translate, write, score."""
    if INPUT.value is None:
        raise UserError("--input=FILE is required: the sources, one a line")
    sources = asking.lines_of_file("input", INPUT.value)
    references = None if REFERENCE.value is None else asking.lines_of_file("reference", REFERENCE.value)
    if references is not None and len(references) != len(sources):
        raise UserError(f"--reference={REFERENCE.value} has {len(references):,} lines, --input={INPUT.value} "
                        f"{len(sources):,}; they must correspond")
    from arch_zoo.evaluation.progress import counter
    from arch_zoo.evaluation.sequences import score_sequences
    from arch_zoo.files import write_text_atomic
    from arch_zoo.generation.texts import TextWriter
    from arch_zoo.objectives.base import Undefined

    run = asking.open_predicting(WORKDIR.value, asked.changes)
    if not run.config.objective.reads_pairs:
        raise UserError(f"{WORKDIR.value}: objective={run.config.objective.name} is not trained on pairs of texts; "
                        f"for an imported model that is, --objective=translation")
    began = time.monotonic()
    try:
        writer = TextWriter(run, max(ROWS.value, asked.how.search.beam))
        best = writer.best(sources, MAX_TOKENS.value, asked.how.search, counter("translating", len(sources), "lines"))
    except Undefined as reason:
        raise UserError(f"{WORKDIR.value}: {reason}") from None
    translations = [" ".join(hypotheses[0][0].split()) for hypotheses in best]
    text = "".join(f"{line}\n" for line in translations)
    if OUTPUT.value is not None:
        write_text_atomic(OUTPUT.value, text)
    elif references is None:
        sys.stdout.write(text)
    seconds = time.monotonic() - began
    where = f" → {OUTPUT.value}" if OUTPUT.value else ""
    logging.info("%s lines in %.0f s%s", f"{len(sources):,}", seconds, where)
    for score in (score_sequences(translations, references) if references is not None else {}).values():
        print(score.text)


if __name__ == "__main__":
    program.run(main, __doc__, TranslateConfig, aliases=asking.aliases(TranslateConfig), load=asking.load,
                before=restart_in_fast_environment)
