"""Wang et al. 2022, adaptation: is another objective learnt faster from a trained model than from nothing?

Paper: Wang et al. 2022 (arXiv 2204.05832), section 6.
Reason: switching who sees whom without changing a weight is what this codebase is made for.
Not measured at any scale: the paper's speed-ups, how many times fewer steps lead to the same loss. Losses are compared
  after as many steps; the few evaluations of a run would give a speed-up only as a bound.
At paper scale, other than the paper: no z-loss (1e-4 there); masked tokens are predicted where they stand, by an
  encoder, where the paper's non-causal decoder writes spans; the rate rises for 10,000 steps, where the paper's is
  constant.
Command: python -m experiments.reproduce --table=wang2022.adapt --scale=bench --data=FOLDER
Expected: docs/ablations/wang2022_adapt.md
"""

from experiments.ablations.protocol import at, claims, t5_run, table
from experiments.studies.config import Arm, StudyConfig

CAUSAL = {"model.architecture": "decoder_only", "objective": "causal_lm"}
MASKED = {"model.architecture": "encoder_only", "objective": "masked_lm"}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = t5_run(scale, data, row="t5_1_1_xxl", changes=at(
        scale, bench={"steps": 150, "optimizer.warmup_steps": 20}, gpu={"steps": 750},
        paper={**CAUSAL, "steps": 39_900, "batch_size": 2048, "data.length": 626, "model.tied_embeddings": True,
               "model.scale_logits": True, "optimizer.learning_rate": 0.01,
               "optimizer.schedule": "inverse_square_root", "optimizer.warmup_steps": 10_000}))
    before = at(scale, bench=600, gpu=3000, paper=131_072)
    source = "Wang et al. 2022, section 6"
    return StudyConfig(
        title=f"Adapting a language model to another objective, at {scale} scale",
        question=f"A model trained for {before:,} steps by one objective goes on for {base.steps:,} by the other one; "
                 f"another begins with that one. Which is ahead?",
        base=base, arms=(Arm("causal, before", CAUSAL | {"steps": before}, preparation=True),
                         Arm("masked, before", MASKED | {"steps": before}, preparation=True),
                         Arm("masked from scratch", MASKED),
                         Arm("causal, then masked", MASKED, starts_from="causal_before"),
                         Arm("causal from scratch", CAUSAL),
                         Arm("masked, then causal", CAUSAL, starts_from="masked_before")),
        varies=("model.architecture", "objective"), reference="masked_from_scratch", match="steps",
        count_preparation=False, metrics=(), losses=("masked_lm", "causal_lm"), scale=scale, stand_in=stand_in,
        claims=(*claims(source, "loss/masked_lm", (
                    "A causal language model learns to fill in faster than a new one",
                    "3.3 times fewer steps", "causal_then_masked", "masked_from_scratch")),
                *claims(source, "loss/causal_lm", (
                    "A masked language model learns to predict the next token faster than a new one",
                    "1.6 times fewer steps", "masked_then_causal", "causal_from_scratch"))),
        paper=table(f"{source}: 4.8 G parameters; how many times fewer steps than from scratch", ("Speed-up",),
                    "masked_from_scratch", {"masked_from_scratch": (1.0,), "causal_then_masked": (3.3,),
                                            "causal_from_scratch": (1.0,), "masked_then_causal": (1.6,)},
                    note="Speed-ups are not measured here: ours are losses after as many steps."))
