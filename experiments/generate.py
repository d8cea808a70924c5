"""Let a trained or imported run write: on behind a prompt, or, where it was trained on masked text, into its gaps.

    python -m experiments.generate --workdir=runs/gpt --prompt="Once upon a time" --temperature=0.8 --top_p=0.9
    python -m experiments.generate --workdir=runs/gpt --input=prompts.txt --beam=4 --output=texts.jsonl
    python -m experiments.generate --workdir=runs/bert --prompt="The [MASK] sat on the [MASK:3]."

A run is asked by its own objective; --objective=NAME asks by another one that its architecture can be trained with:
an imported T5 that was taught to translate by --objective=translation.
"""

import dataclasses
import json
import sys

from absl import flags

from arch_zoo.errors import UserError
from arch_zoo.generation.beam import BeamSearch
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.unmasking import Unmasking
from arch_zoo.settings import FieldError, Settings, setting
from experiments import asking, program
from experiments.environment import restart_in_fast_environment

WORKDIR = flags.DEFINE_string("workdir", None, "directory of the run (required)")
PROMPT = flags.DEFINE_multi_string("prompt", [], "what stands before the text; several may be given")
INPUT = flags.DEFINE_string("input", None, "a file of prompts, one a line")
OUTPUT = flags.DEFINE_string("output", None, "write the texts to this file as JSON-lines, instead of showing them")
MAX_TOKENS = flags.DEFINE_integer("max_tokens", 100, "tokens written at most", lower_bound=1)
STOP = flags.DEFINE_multi_string("stop", [], "a text ends before this string; several may be given")
SAMPLES = flags.DEFINE_integer("samples", 1, "texts for each prompt, each with draws of its own", lower_bound=1)
ROWS = flags.DEFINE_integer("rows", 16, "rows written at a time", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class GenerateConfig(Settings):
    """How tokens are chosen."""

    sampling: Sampling = setting(Sampling, "one after another")
    search: BeamSearch = setting(BeamSearch(beam=1), "by beams, where there are more than one")
    unmasking: Unmasking = setting(Unmasking, "in the gaps of a masked text")

    def check(self) -> None:
        if self.search.beam == 1 and self.search.replace(beam=BeamSearch().beam) != BeamSearch():
            raise FieldError("search.length_penalty", "weighs the hypotheses of a beam search; set beam above 1")
        if self.search.beam > 1 and self.sampling != Sampling():
            raise FieldError("search.beam", "a beam search draws nothing and bends no probability; leave out the "
                                             "options of sampling, or beam")


def main(asked: asking.Request, arguments: list[str]) -> None:
    """Write, and show it."""
    prompts = [*PROMPT.value, *([] if INPUT.value is None else asking.lines_of_file("input", INPUT.value))]
    if not prompts:
        raise UserError("--prompt=TEXT or --input=FILE is required: what stands before the text")
    if SAMPLES.value > 1 and asked.how.sampling.temperature == 0:
        raise UserError(f"--samples={SAMPLES.value} would all be the same at temperature=0; set --temperature")
    if STOP.value and asked.how.search.beam > 1:
        raise UserError("--stop: a beam search goes on to the end of a text; leave it out, or --beam")
    from arch_zoo.objectives.base import Undefined

    run = asking.open_predicting(WORKDIR.value, asked.changes)
    refuse_idle_options(run, asked.how)
    try:
        if OUTPUT.value is None and len(prompts) == SAMPLES.value == 1:
            show_one(run, prompts[0], asked.how)
        else:
            show_or_write(prompts, texts(run, prompts, asked.how))
    except Undefined as reason:
        raise UserError(f"{WORKDIR.value}: objective={run.config.objective.name} cannot write here: {reason}") from None


def refuse_idle_options(run, how: GenerateConfig) -> None:
    """UserError for what only models that write in the other way read."""
    from arch_zoo.generation.texts import fills_in

    name = run.config.objective.name
    if fills_in(run):
        given = {"beam": how.search.beam > 1, "stop": STOP.present, "max_tokens": MAX_TOKENS.present}
        if idle := [flag for flag, is_given in given.items() if is_given]:
            raise UserError(f"--{idle[0]} is for models that write from left to right; {WORKDIR.value} with "
                            f"objective={name} fills in gaps")
    elif how.unmasking != Unmasking():
        raise UserError(f"--passes is for models that fill in gaps; {WORKDIR.value} with objective={name} writes from "
                        f"left to right")


def texts(run, prompts: list[str], how: GenerateConfig) -> list[dict]:
    """{"prompt", "text", …} for each prompt and sample."""
    from arch_zoo.evaluation.progress import counter
    from arch_zoo.generation.texts import TextFiller, TextWriter, fills_in

    asked = [prompt for prompt in prompts for _ in range(SAMPLES.value)]
    if fills_in(run):
        found = TextFiller(run, ROWS.value).fill(asked, how.unmasking, how.sampling)
        return [{"prompt": prompt, "text": text} for prompt, text in zip(asked, found, strict=True)]
    writer = TextWriter(run, max(ROWS.value, how.search.beam))
    if how.search.beam > 1:
        best = writer.best(asked, MAX_TOKENS.value, how.search, counter("searching", len(asked), "prompts"))
        return [{"prompt": prompt, "text": hypotheses[0][0], "score": hypotheses[0][1],
                 "others": [{"text": text, "score": score} for text, score in hypotheses[1:]]}
                for prompt, hypotheses in zip(asked, best, strict=True)]
    written = writer.write(asked, MAX_TOKENS.value, how.sampling, STOP.value)
    return [{"prompt": prompt, "text": text} for prompt, text in zip(asked, written, strict=True)]


def show_one(run, prompt: str, how: GenerateConfig) -> None:
    """One text, as it is written."""
    from arch_zoo.generation.texts import TextWriter, fills_in

    if fills_in(run) or how.search.beam > 1:
        for one in texts(run, [prompt], how):
            print(one["text"] if fills_in(run) else prompt + one["text"])
        return
    writer = TextWriter(run, 1)
    pieces = writer.stream(prompt, MAX_TOKENS.value, how.sampling, STOP.value)
    first = next(pieces)  # before anything is shown: it may be that the model cannot write here
    print(("" if run.config.objective.reads_pairs else prompt) + first, end="", flush=True)
    for piece in pieces:
        print(piece, end="", flush=True)
    print()


def show_or_write(prompts: list[str], found: list[dict]) -> None:
    """All texts, at the terminal or as lines of a file."""
    if OUTPUT.value is not None:
        from arch_zoo.files import write_text_atomic

        write_text_atomic(OUTPUT.value, "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found))
        print(f"written: {OUTPUT.value}, {len(found)} texts")
        return
    for number, one in enumerate(found):
        sys.stdout.write(f"── {one['prompt']}\n" if number % SAMPLES.value == 0 else "·\n")
        print(one["text"].strip("\n"))


if __name__ == "__main__":
    program.run(main, __doc__, GenerateConfig, aliases=asking.aliases(GenerateConfig), load=asking.load,
                before=restart_in_fast_environment)
