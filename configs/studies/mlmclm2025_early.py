"""Gisserot-Boukhlef et al. 2025 beside BERT, Table 5: masked or causal first, or causal and then masked?

Paper: Gisserot-Boukhlef et al. 2025 (arXiv 2507.00994), by step; Devlin et al. 2018, Table 5.
Reason: the two papers disagree; budgets of this size lie where the later one sees causal language models ahead. Of its
  table by steps only the end of training is measured here, which at paper scale is late.
At paper scale, other than the paper: the rate falls along a line, not after 38,000 constant steps; a feed-forward of
  four widths without a gate, LayerNorm, a vocabulary of 32,000, C4; SST-2 stands for all sentence tasks, fine-tuned at
  one rate; the other tasks are not measured.
Command: python -m experiments.reproduce --table=mlmclm2025.early --scale=bench --data=FOLDER
Expected: docs/ablations/mlmclm2025_early.md
"""

from arch_zoo.settings import override
from experiments.ablations.protocol import REVERSES, at, claims, classifying, table, text_run
from experiments.studies.config import Arm, StudyConfig

CAUSAL = {"model.architecture": "decoder_only", "objective": "causal_lm"}
COLUMNS = ("Sentence tasks", "Token tasks", "QA", "Retrieval")
AFTER_12K = {"mlm_40": (83.04, 91.58, 41.51, 69.90), "clm": (80.86, 92.14, 39.07, 72.77),
             "clm_25_then_mlm": (83.67, 92.16, 43.77, 74.94), "clm_50_then_mlm": (83.63, 92.15, 42.78, 75.22)}
AFTER_42K = {"mlm_40": (87.00, 92.21, 62.77, 79.55), "clm": (83.58, 92.69, 42.09, 76.20),
             "clm_25_then_mlm": (87.85, 93.07, 67.77, 79.88), "clm_50_then_mlm": (87.58, 92.89, 59.51, 79.67)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = text_run(scale, data, text="FineWeb-Edu", changes={
        "model.architecture": "encoder_only", "objective": "masked_lm",
        **at(scale, bench={"steps": 600}, gpu={},
             paper={"steps": 42_000, "batch_size": 1158, "data.length": 2048, "model.max_len": 2048,
                    "model.width": 1152,
                    "model.depth": 26, "model.heads": 18, "model.position": "rotary",
                    "optimizer.learning_rate": 5e-4, "optimizer.warmup_steps": 2000})})
    measured, own, _ = classifying(data, {}, scale)
    shared = "classification/shared"
    if "tasks" in measured:  # asked twice: read alike, and each as it was trained
        task, = measured["tasks"]
        alike = override(task, {"learning.answer.visibility": "bidirectional", "learning.answer.pool": "mean"})
        measured["tasks"], shared, own = (alike, task), "fine_tuned.0/accuracy", "fine_tuned.1/accuracy"
    arms = [Arm("MLM 15 %", {}), Arm("MLM 40 %", {"objective.rate": 0.4}), Arm("CLM", CAUSAL)]
    for percent in (25, 50):
        first = Arm(f"CLM, first {percent} %", CAUSAL | {"steps": base.steps * percent // 100}, preparation=True)
        arms += [first, Arm(f"CLM {percent} %, then MLM", {"objective.rate": 0.4}, starts_from=first.slug)]
    new, bert = "Gisserot-Boukhlef et al. 2025, Table of steps", "Devlin et al. 2018 (BERT), Table 5"
    return StudyConfig(
        title=f"Masked or causal first, at {scale} scale",
        question="With as many steps on the same text: does a causal language model, a masked one, or one that is "
                 "causal first and masked then, prepare better for classification?",
        base=base, arms=tuple(arms), varies=("model.architecture", "objective"), reference="mlm_15", match="steps",
        **measured, losses=("masked_lm",), scale=scale, stand_in=stand_in,
        claims=(*claims(new, shared, ("Early in training a causal language model classifies better than a masked one, "
                                      "both fine-tuned with bidirectional attention",
                                      "610M, after 2.4 G tokens SST-2 79.52 against 81.06, all sentence tasks 68.32 "
                                      "against 66.91; after 12 G 78.56 against 72.49; at the end, after 100 G, 83.58 "
                                      "against 87.00", "clm", "mlm_40", REVERSES if scale == "paper" else "holds")),
                *claims("Gisserot-Boukhlef et al. 2025, mixes", "loss/masked_lm",
                        ("Causal first and masked then is no worse than masked all the time",
                         "sentence tasks after 12K steps 83.67 (3K + 9K) and 83.63 (6K + 6K) against 83.04, after 42K "
                         "87.85 (10K + 32K) and 87.58 (21K + 21K) against 87.00", "clm_25_then_mlm", "mlm_40")),
                *claims(bert, own, ("A masked language model classifies better than a causal one, each read under its "
                                    "own visibility", "MNLI 83.9 against 82.1, SST-2 92.6 against 92.1", "mlm_15",
                                    "clm",
                                    REVERSES if scale != "paper" else "holds"))),
        paper=table(f"Gisserot-Boukhlef et al. 2025, 610M, {at(scale, bench='12K', gpu='12K', paper='42K')} steps of "
                    "2.4 M tokens, fine-tuned with bidirectional attention", COLUMNS, "mlm_40",
                    at(scale, bench=AFTER_12K, gpu=AFTER_12K, paper=AFTER_42K), beside={"Sentence tasks": shared}))
