"""The ablations as a table, and what stands for their data where it is not touched."""

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
            lines.append(f"{'':<22}{scale:<7}{len(study.arms)} arms × {study.cells_of_arm_text}  {cost(study)}")
    return "\n".join([*lines, "", "python -m experiments.reproduce --table=NAME --scale=SCALE --workdir=DIR runs one; "
                                  "--dry_run shows what it would be"])


def cost(study: StudyConfig) -> str:
    """Operations of the whole study, in words."""
    from arch_zoo.analysis.ledger import flops_of_training
    from experiments.studies.plan import short, solve

    runs = solve(study, nominal_data).values()
    flops = sum(run.steps * run.batch_size * run.data.length
                * flops_of_training(run, run.model.vocab_size or run.data.tokenizer.vocab_size) for run in runs)
    trials = len(study.tuning.rates) * study.tuning.share  # of one seed
    return f"{short((study.seeds + trials) * flops)}FLOPs"


def nominal_data(config: RunConfig) -> types.SimpleNamespace:
    """Stands for prepared data where only sizes count."""
    tokenizer = config.data.tokenizer
    return types.SimpleNamespace(tokenizer=types.SimpleNamespace(
        vocabulary=nominal_vocabulary(tokenizer.vocab_size, tokenizer.sentinels)))
