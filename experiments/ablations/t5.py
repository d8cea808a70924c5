"""T5's Tables 2 and 4 to 7: the shapes of models, and one protocol of preparing by a noise and going on."""

from typing import Any

from arch_zoo.config import RunConfig
from experiments.ablations.protocol import at, claims, continued, t5_run, table
from experiments.studies.config import StudyConfig

COLUMNS = ("GLUE", "CNN/DM", "SQuAD", "SuperGLUE", "En-De", "En-Fr", "En-Ro")
GLUE_DEVIATION = {"GLUE": 0.235}  # of one run: Raffel et al. 2020, Table 1

# Table 2: pre-trained by denoising, or as a language model.
DENOISING = {"encoder_decoder": (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65),
             "shared": (82.81, 18.78, 80.63, 70.73, 26.72, 39.03, 27.46),
             "half_as_deep": (80.88, 18.97, 77.59, 68.42, 26.38, 38.40, 26.95),
             "language_model": (74.70, 17.93, 61.14, 55.02, 25.09, 35.28, 25.86),
             "prefix_language_model": (81.82, 18.61, 78.94, 68.11, 26.43, 37.98, 27.39)}
LM = {"encoder_decoder_lm": (79.56, 18.59, 76.02, 64.29, 26.27, 39.17, 26.86),
      "shared_lm": (79.60, 18.13, 76.35, 63.50, 26.62, 39.17, 27.05),
      "half_as_deep_lm": (78.67, 18.26, 75.32, 64.06, 26.13, 38.42, 26.89),
      "language_model_lm": (73.78, 17.54, 53.81, 56.51, 25.23, 34.31, 25.38),
      "prefix_language_model_lm": (79.68, 17.84, 76.87, 64.86, 26.28, 37.51, 26.76)}


def shapes(base: RunConfig) -> dict[str, tuple[dict[str, Any], str]]:
    """{name: (overrides of the base, which is an encoder-decoder; its objective as a language model)}, as in Table 2.

    As a language model all but the plain one see the first part of a text from both sides.
    """
    architecture = "model.architecture"
    return {"encoder-decoder": ({}, "prefix_lm"), "shared": ({"model.share_stacks": True}, "prefix_lm"),
            "half as deep": ({"model.depth": base.model.depth // 2}, "prefix_lm"),
            "language model": ({architecture: "decoder_only"}, "causal_lm"),
            "prefix language model": ({architecture: "prefix_decoder"}, "prefix_lm")}


def going_on(scale: str, data: str | None) -> tuple[RunConfig, str, dict[str, Any]]:
    """(an encoder-decoder that learns to write the second half of a text given the first, what stands in for absent
    data, overrides of the runs that prepare for it).
    """
    base, stand_in = t5_run(scale, data, changes={
        "model.architecture": "encoder_decoder", "objective": "prefix_lm",
        **at(scale, bench={"steps": 100, "optimizer.warmup_steps": 20}, gpu={"steps": 750}, paper={
            "steps": 262_144, "optimizer.learning_rate": 0.001, "optimizer.schedule": "constant",
            "optimizer.warmup_steps": 0})})
    recipe = at(scale, bench={}, gpu={}, paper={
        "optimizer.learning_rate": 0.01, "optimizer.schedule": "inverse_square_root",
        "optimizer.warmup_steps": 10_000})
    return base, stand_in, {"steps": at(scale, bench=400, gpu=3000, paper=524_288), **recipe}


def objectives_study(number: int, scale: str, data: str | None, noises: dict[str, dict[str, Any]],
                     paper: dict[str, tuple[float, ...]], *, reference: str, question: str,
                     rows: tuple[tuple, ...]) -> StudyConfig:
    """An encoder-decoder is pre-trained by each noise, {name: overrides}, then all learn to continue texts.

    paper: {slug: the paper's row}; rows: what the paper claims, as `protocol.claims` takes it.
    """
    base, stand_in, before = going_on(scale, data)
    source = f"Raffel et al. 2020, Table {number}"
    return StudyConfig(
        title=f"T5, Table {number}, at {scale} scale",
        question=f"{question} Each prepares an encoder-decoder for {before['steps']:,} steps; then all learn, in "
                 f"{base.steps:,}, to write the second half of a text given the first.",
        base=base, arms=continued(noises, before), reference=reference, match="steps", varies=("objective",),
        count_preparation=False, metrics=(), losses=("prefix_lm",), scale=scale, stand_in=stand_in,
        claims=claims(source, "loss/prefix_lm", *rows),
        paper=table(f"{source}: T5-base, 2^35 tokens of C4, fine-tuned", COLUMNS, reference, paper,
                    beside={"GLUE": "loss/prefix_lm"}, deviations=GLUE_DEVIATION,
                    note="Ours is the loss of a text's second half given its first."))
