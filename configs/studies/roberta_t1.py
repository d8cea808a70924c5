"""RoBERTa, Table 1: are masks drawn once, ten times, or anew each time?

Paper: Liu et al. 2019, section 4.1.
Reason: a null of the paper that should become a visible effect on a small text that is read many times.
At paper scale, other than the paper: masked tokens alone are learnt, without pairs of segments and the next sentence;
  as much of C4 as is read forty times stands for sixteen GB of books and Wikipedia; byte-pair encoding trained on it,
  not BERT's pieces; SST-2 is learnt with one seed for each run, not as a median of five.
Command: python -m experiments.reproduce --table=roberta.t1 --scale=bench --data=FOLDER
Expected: docs/ablations/roberta_t1.md
"""

from experiments.ablations.protocol import EXPECTATION, at, claims, classifying, table, text_run
from experiments.studies.config import Arm, StudyConfig


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = text_run(scale, data, words="brown", changes={
        "model.architecture": "encoder_only", "objective": "masked_lm",
        **at(scale, bench={"steps": 1200, "data.unique_tokens": 65_536},
             gpu={"steps": 6000, "data.unique_tokens": 2_000_000},
             paper={"data.unique_tokens": 1_000_000 * 256 * 512 // 40, "model.pooler": False,
                    "model.sentence_classes": 0, "model.token_types": 0})}, row="bert_base",
        text="books and Wikipedia")
    measured, accuracy, _ = classifying(data, {}, scale)
    loss, source = "loss/masked_lm", "Liu et al. 2019, Table 1"
    return StudyConfig(
        title=f"RoBERTa, Table 1, at {scale} scale",
        question="A text is read dozens of times by a masked language model: does it matter whether a window has one "
                 "version with gaps, ten, or a new one each time?",
        base=base, arms=(Arm("static, 1 version", {"objective.copies": 1}),
                         Arm("static, 10 versions", {"objective.copies": 10}), Arm("dynamic", {})),
        varies=("objective.copies",), reference="static_10_versions", match="steps", losses=("masked_lm",),
        scale=scale, stand_in=stand_in, **(measured if scale == "paper" else {"metrics": ()}),
        claims=(*claims(source, loss,
                        ("New masks each time are at least as good as ten versions", "SST-2 92.9 against 92.5, MNLI "
                         "84.0 against 84.3: nothing between them", "dynamic", "static_10_versions",
                         "holds" if scale == "bench" else 0.02)),
                *claims(EXPECTATION, loss,
                        ("One version is worse than ten on a text that is read many times", "", "static_10_versions",
                         "static_1_version")),
                *(claims(source, accuracy, ("Dynamic masking classifies no worse", "SST-2 92.9 against 92.5",
                                            "dynamic", "static_10_versions")) if scale == "paper" else ())),
        paper=table(f"{source}: BERT-base, sixteen GB of books and Wikipedia, fine-tuned",
                    ("SQuAD 2.0", "MNLI-m", "SST-2"),
                    "static_10_versions", {"static_10_versions": (78.3, 84.3, 92.5), "dynamic": (78.7, 84.0, 92.9)},
                    beside={"SST-2": accuracy if scale == "paper" else loss},
                    note="Static there: ten versions over forty epochs, each seen four times."))
