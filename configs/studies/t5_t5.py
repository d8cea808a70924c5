"""T5, Table 5: variants of BERT's noise

Paper: Raffel et al. 2020, section 3.3.2.
Reason: the paper's own differences are small, but for dropped tokens, which are ahead on GLUE and behind on SuperGLUE.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  fine-tuning on tasks; the rate of pre-training rises for 10,000 steps, where the paper's is constant; 512 tokens of
  text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t5 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t5.md
"""

from experiments.ablations.t5 import objectives_study
from experiments.studies.config import StudyConfig

NOISES = {"BERT-style": {"objective": "bert_style"}, "MASS-style": {"objective": "mass_style"},
          "replaced spans": {"objective": "iid_spans"}, "dropped tokens": {"objective": "drop_tokens"}}
PAPER = {"bert_style": (82.96, 19.17, 80.65, 69.85, 26.78, 40.03, 27.41),
         "mass_style": (82.32, 19.16, 80.10, 69.28, 26.79, 39.89, 27.55),
         "replaced_spans": (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65),
         "dropped_tokens": (84.44, 19.31, 80.52, 68.67, 27.07, 39.76, 27.82)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    return objectives_study(
        5, scale, data, NOISES, PAPER, reference='replaced_spans',
        question="Is the whole text the target, or only what was taken out of it?",
        rows=(
            ("Masks without replaced tokens make no difference", "GLUE 82.32 against 82.96", "mass_style", "bert_style",
             0.05),
            ("Targets of only what is missing prepare as well as whole texts", "GLUE 83.28 against 82.96",
             "replaced_spans", "bert_style", 0.05),
            ("Dropped tokens prepare as well as replaced spans",
             "GLUE 84.44 against 83.28, SuperGLUE 68.67 against 71.36",
             "dropped_tokens", "replaced_spans", 0.05)))
