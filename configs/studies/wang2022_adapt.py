"""Wang et al. 2022, adaptation: is another objective learnt faster from a trained model than from nothing?

Paper: Wang et al. 2022 (arXiv 2204.05832), section 6.
Reason: switching who sees whom without changing a weight is what this codebase is made for.
Command: python -m experiments.reproduce --table=wang2022.adapt --scale=bench --data=FOLDER
Expected: docs/ablations/wang2022_adapt.md
"""

from experiments.ablations.protocol import at, claims, table, text_run
from experiments.studies.config import Arm, StudyConfig

CAUSAL = {"model.architecture": "decoder_only", "objective": "causal_lm"}
MASKED = {"model.architecture": "encoder_only", "objective": "masked_lm"}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = text_run(scale, data, changes=at(
        scale, bench={"steps": 150, "optimizer.warmup_steps": 20}, gpu={"steps": 750},
        paper={"steps": 39_900, "batch_size": 2048, "data.length": 626, "model.max_len": 1024, "model.width": 4096,
               "model.depth": 24, "model.heads": 64, "model.mlp_dim": 10_240, "model.activation": "gelu_tanh",
               "model.gated": True, "model.position": "t5_bias", "optimizer.kind": "adafactor",
               "optimizer.learning_rate": 0.01, "optimizer.schedule": "inverse_square_root"}))
    before = base.steps * at(scale, bench=4, gpu=4, paper=3)
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
                                            "causal_from_scratch": (1.0,), "masked_then_causal": (1.6,)}))
