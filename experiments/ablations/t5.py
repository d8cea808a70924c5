"""T5's Tables 4 to 7: one protocol, each with its own ways of spoiling a text."""

from typing import Any

from experiments.ablations.protocol import at, claims, continued, t5_run, table
from experiments.studies.config import StudyConfig

COLUMNS = ("GLUE", "CNN/DM", "SQuAD", "SuperGLUE", "En-De", "En-Fr", "En-Ro")


def objectives_study(number: int, scale: str, data: str | None, noises: dict[str, dict[str, Any]],
                     paper: dict[str, tuple[float, ...]], *, reference: str, question: str,
                     rows: tuple[tuple, ...]) -> StudyConfig:
    """An encoder-decoder is pre-trained by each noise, {name: overrides}, then all learn to continue texts.

    paper: {slug: the paper's row}; rows: what the paper claims, as `protocol.claims` takes it.
    """
    base, stand_in = t5_run(scale, data, changes={
        "model.architecture": "encoder_decoder", "objective": "prefix_lm",
        **at(scale, bench={"steps": 100, "optimizer.warmup_steps": 20}, gpu={"steps": 750}, paper={
            "steps": 262_144, "optimizer.learning_rate": 0.001, "optimizer.schedule": "constant",
            "optimizer.warmup_steps": 0})})
    before = at(scale, bench=400, gpu=3000, paper=524_288)
    recipe = at(scale, bench={}, gpu={}, paper={
        "optimizer.learning_rate": 0.01, "optimizer.schedule": "inverse_square_root",
        "optimizer.warmup_steps": 10_000})
    source = f"Raffel et al. 2020, Table {number}"
    return StudyConfig(
        title=f"T5, Table {number}, at {scale} scale",
        question=f"{question} Each prepares an encoder-decoder for {before:,} steps; then all learn, in "
                 f"{base.steps:,}, to write the second half of a text given the first.",
        base=base, arms=continued(noises, before, recipe), reference=reference, match="steps", varies=("objective",),
        count_preparation=False, metrics=(), losses=("prefix_lm",), scale=scale, stand_in=stand_in,
        claims=claims(source, "loss/prefix_lm", *rows),
        paper=table(f"{source}: T5-base, 2^35 tokens of C4, fine-tuned", COLUMNS, reference, paper,
                    beside={"GLUE": "loss/prefix_lm"}, deviations={"GLUE": 0.235},
                    note="Ours is the loss of a text's second half given its first."))
