"""The ablations as a table, and one of them as a plan, without touching any data."""

import types
from collections.abc import Iterable

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers.base import nominal_vocabulary
from experiments.ablations.catalogue import Ablation
from experiments.ablations.protocol import SCALES
from experiments.studies.config import StudyConfig


def table(ablations: Iterable[Ablation]) -> str:
    """One entry for each: name, question, and what all its cells cost at each scale."""
    lines = ["Published ablations; FLOPs are of all arms and seeds together."]
    for ablation in ablations:
        lines += ["", f"{ablation.table:<22}{ablation.about}"]
        for scale in SCALES:
            study = ablation.study(scale, None)
            lines.append(f"{'':<22}{scale:<7}{len(study.arms)} arms × {study.seeds} seeds  {cost(study)}")
    return "\n".join([*lines, "", "python -m experiments.reproduce --table=NAME --scale=SCALE --workdir=DIR runs one; "
                                  "--dry_run shows its plan"])


def cost(study: StudyConfig) -> str:
    """Operations of the whole study, in words."""
    from arch_zoo.analysis.ledger import flops_of_training
    from experiments.studies.plan import short, solve

    runs = solve(study, nominal_data).values()
    flops = sum(run.steps * run.batch_size * run.data.length
                * flops_of_training(run, run.model.vocab_size or run.data.tokenizer.vocab_size) for run in runs)
    trials = len(study.tuning.rates) * study.tuning.share  # of one seed
    return f"{short((study.seeds + trials) * flops)}FLOPs"


def plan(study: StudyConfig) -> str:
    """The arms with what they change, and their ledger, for a vocabulary of the size that the config names."""
    from experiments.studies.plan import ledger_text, make_plan

    rows = [f"  {arm.name}: {', '.join(f'{path}={value}' for path, value in arm.overrides.items()) or 'the base'}"
            + (f"; starts from {arm.starts_from}" if arm.starts_from else "") for arm in study.arms]
    claims = [f"  {claim.text} ({': '.join(filter(None, (claim.source, claim.numbers)))})"
              f"{'' if claim.verified else ' [M]'}; expected: {claim.expectation}" for claim in study.claims]
    return "\n".join([study.title, study.question, *([f"stand-in: {study.stand_in}"] if study.stand_in else []), "",
                      f"{len(study.arms)} arms × {study.seeds} seeds, matched by {study.match}, on "
                      f"{study.base.data.corpus}", *rows, "", "claims, and what is expected here", *claims, "",
                      ledger_text(make_plan(study, nominal_data))])


def nominal_data(config: RunConfig) -> types.SimpleNamespace:
    """Stands for prepared data where only sizes count."""
    tokenizer = config.data.tokenizer
    return types.SimpleNamespace(tokenizer=types.SimpleNamespace(
        vocabulary=nominal_vocabulary(tokenizer.vocab_size, tokenizer.sentinels)))
