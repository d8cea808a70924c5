"""GPT-1, Table 5: what does pre-training give, and what the auxiliary loss in fine-tuning?

Paper: Radford et al. 2018, section 5.
Reason: the gain of pre-training survives at a few million tokens where labels are few; the auxiliary loss costs a
  little in the paper and is said to help tiny models. (Its LSTM row waits for recurrent models.)
At paper scale, other than the paper: C4 in place of BooksCorpus, read for 98 billion tokens, about a hundred passes
  over that; SST-2 alone is measured, fine-tuned at 3e-5, where the paper's rate is 6.25e-5.
Command: python -m experiments.reproduce --table=gpt1.t5 --scale=bench --data=FOLDER
Expected: docs/ablations/gpt1_t5.md
"""

from experiments.ablations.protocol import EXPECTATION, REVERSES, at, claims, classifying, table, text_run
from experiments.studies.config import Arm, StudyConfig

COLUMNS = ("Average", "CoLA", "SST-2", "MRPC", "STS-B", "QQP", "MNLI", "QNLI", "RTE")


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = text_run(scale, data, row="gpt1", text="BooksCorpus", changes=at(
        scale, bench={"steps": 1200}, gpu={}, paper={"steps": 3_000_000}))
    measured, metric, options = classifying(data, {}, scale)
    arms = (Arm("pre-training", {"steps": base.steps}, preparation=True),
            Arm("pre-trained", {}, starts_from="pre_training"),
            Arm("with auxiliary loss", {}, starts_from="pre_training", evaluation={f"{options}.auxiliary": 0.5}),
            Arm("head only", {}, starts_from="pre_training", evaluation={f"{options}.weights": "probe"}),
            Arm("not pre-trained", {}))
    source = "Radford et al. 2018 (GPT-1), Table 5"
    return StudyConfig(
        title=f"GPT-1, Table 5, at {scale} scale",
        question="A sentence is classified by a causal language model after fine-tuning: pre-trained or not, with the "
                 "language-model loss beside it or not, with all weights or only the head?",
        base=base.replace(steps=0), arms=arms, varies=(f"evaluation.{options}",), reference="pre_trained", match="none",
        **measured, scale=scale, stand_in=stand_in,
        claims=claims(source, metric,
                      ("Pre-training helps",
                       "average 75.0 against 59.9 (without auxiliary loss); SST-2 92.0 against 84.0",
                       "pre_trained", "not_pre_trained"),
                      ("The auxiliary loss costs a little on average", "average 75.0 without and 74.7 with it; it "
                       "helps on QQP, MNLI, QNLI and RTE", "pre_trained", "with_auxiliary_loss",
                       "holds" if scale == "paper" else REVERSES)) +
        claims(EXPECTATION, metric,
               ("Training all weights beats training a head", "", "pre_trained", "head_only")),
        paper=table(f"{source}: 117 M parameters, BooksCorpus; 'not pre-trained' has the auxiliary loss there", COLUMNS,
                    "pre_trained", {
                        "pre_trained": (75.0, 47.9, 92.0, 84.9, 83.2, 69.8, 81.1, 86.9, 54.4),
                        "with_auxiliary_loss": (74.7, 45.4, 91.3, 82.3, 82.0, 70.3, 81.8, 88.1, 56.0),
                        "not_pre_trained": (59.9, 18.9, 84.0, 79.4, 30.9, 65.5, 75.7, 71.2, 53.8)},
                    beside={"SST-2": metric}))
