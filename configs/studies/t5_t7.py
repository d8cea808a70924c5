"""T5, Table 7: how long should corrupted spans be?

Paper: Raffel et al. 2020, section 3.3.4.
Reason: within the noise at bench scale, and said so beforehand; longer spans make shorter targets, which is exact.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  fine-tuning on tasks; the rate of pre-training rises for 10,000 steps, where the paper's is constant; 512 tokens of
  text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t7 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t7.md
"""

from experiments.ablations.protocol import NOT_INFORMATIVE
from experiments.ablations.t5 import objectives_study
from experiments.studies.config import StudyConfig

NOISES = {"independent": {"objective": "iid_spans"}} | {
    f"spans of {n}": {"objective": "span_corruption", "objective.mean_span": float(n)} for n in (2, 3, 5, 10)}
PAPER = {"independent": (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65),
         "spans_of_2": (83.54, 19.39, 82.09, 72.20, 26.76, 39.99, 27.63),
         "spans_of_3": (83.49, 19.62, 81.84, 72.53, 26.86, 39.65, 27.62),
         "spans_of_5": (83.40, 19.24, 82.05, 72.23, 26.88, 39.40, 27.53),
         "spans_of_10": (82.85, 19.33, 81.84, 70.44, 26.79, 39.49, 27.69)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    return objectives_study(
        7, scale, data, NOISES, PAPER, reference='independent',
        question="Tokens taken out one by one, or in spans of 2, 3, 5 or 10 on average?",
        rows=(
            ("Spans of 3 prepare better than independent tokens", "SQuAD 81.84 against 80.88, GLUE 83.49 against 83.28",
             "spans_of_3", "independent", "holds" if scale == "paper" else NOT_INFORMATIVE),
            ("Spans of 10 prepare worse than spans of 3", "GLUE 82.85 against 83.49",
             "spans_of_3", "spans_of_10", "holds" if scale == "paper" else NOT_INFORMATIVE)))
