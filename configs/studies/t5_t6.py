"""T5, Table 6: how much of a text should be corrupted?

Paper: Raffel et al. 2020, section 3.3.3.
Reason: flat from a tenth to a quarter in the paper; what differs exactly is the length of targets, hence the cost.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  fine-tuning on tasks; the rate of pre-training rises for 10,000 steps, where the paper's is constant; 512 tokens of
  text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t6 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t6.md
"""

from experiments.ablations.protocol import NOT_INFORMATIVE
from experiments.ablations.t5 import objectives_study
from experiments.studies.config import StudyConfig

NOISES = {f"{percent} %": {"objective": "iid_spans", "objective.rate": percent / 100} for percent in (10, 15, 25, 50)}
PAPER = {"10": (82.82, 19.00, 80.38, 69.55, 26.87, 39.28, 27.44),
         "15": (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65),
         "25": (83.00, 19.54, 80.96, 70.48, 27.04, 39.83, 27.47),
         "50": (81.27, 19.32, 79.80, 70.33, 27.01, 39.90, 27.49)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    return objectives_study(
        6, scale, data, NOISES, PAPER, reference='15',
        question="Is a tenth, a seventh, a quarter or a half of the tokens taken out?",
        rows=(
            ("A quarter prepares as well as 15 %", "GLUE 83.00 against 83.28", "25", "15", 0.05),
            ("A half prepares worse than 15 %", "GLUE 81.27 against 83.28", "15", "50",
             "holds" if scale == "paper" else NOT_INFORMATIVE)))
