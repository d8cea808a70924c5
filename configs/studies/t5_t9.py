"""T5, Table 9: what does it cost to read a small text again and again?

Paper: Raffel et al. 2020, section 3.4.2.
Reason: the most reliable of T5's ablations at any size: tokens seen are equal, different ones are fewer and fewer.
At paper scale, other than the paper: measured in bits per byte, not by fine-tuning on tasks; the rate rises for
  10,000 steps, where the paper's is constant; 512 tokens of text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t9 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t9.md
"""

from experiments.ablations.protocol import EXPECTATION, at, claims, t5_run, table
from experiments.studies.config import Arm, StudyConfig

COLUMNS = ("GLUE", "CNN/DM", "SQuAD", "SuperGLUE", "En-De", "En-Fr", "En-Ro")
PAPER = {1: (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65), 64: (82.87, 19.19, 80.97, 72.03, 26.83, 39.74, 27.63),
         256: (82.62, 19.20, 79.78, 69.97, 27.02, 39.71, 27.33),
         1024: (79.55, 18.57, 76.27, 64.76, 26.38, 39.56, 26.80),
         4096: (76.34, 18.33, 70.92, 59.29, 26.37, 38.84, 25.81)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = t5_run(scale, data, words="brown", changes=at(
        scale, bench={"steps": 600}, gpu={}, paper={"objective": "iid_spans"}))
    repeats = at(scale, bench=(1, 4, 16, 64, 256), gpu=(1, 4, 16, 64, 256), paper=(1, 64, 256, 1024, 4096))
    seen = base.steps * base.batch_size * base.data.length
    arms = [Arm("no repeats" if n == 1 else f"{n} repeats", {} if n == 1 else {"data.unique_tokens": seen // n})
            for n in repeats]
    slug = {n: arm.slug for n, arm in zip(repeats, arms, strict=True)}
    metric, source = "bits_per_byte", "Raffel et al. 2020, Table 9"
    return StudyConfig(
        title=f"T5, Table 9, at {scale} scale",
        question=f"All arms read {seen:,} tokens. The text has as many, or a fraction, read again and again.",
        base=base, arms=tuple(arms), varies=("data.unique_tokens",), reference="no_repeats", match="tokens",
        metrics=(metric,), scale=scale, stand_in=stand_in,
        claims=(*claims(source, metric,
                        ("64 repeats cost something", "GLUE 82.87 against 83.28", slug[1], slug[64]),
                        ("256 repeats cost more than 64", "GLUE 82.62 against 82.87, SQuAD 79.78 against 80.97",
                         slug[64], slug[256])),
                *(claims(EXPECTATION, metric,
                         ("Four repeats cost nothing", "", slug[1], slug[4], 0.05)) if 4 in slug else ())),
        paper=table(f"{source}: an encoder-decoder reads 2^35 tokens of C4, then is fine-tuned", COLUMNS, slug[1],
                    {slug[n]: values for n, values in PAPER.items() if n in slug}, beside={"GLUE": metric},
                    deviations={"GLUE": 0.235},
                    note="" if scale == "paper" else
                    f"So many repeats mean much less text here: 64 leave {seen // 64:,} tokens, there 2^29."))
