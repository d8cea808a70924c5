"""T5, Table 4: three ways to pre-train an encoder-decoder

Paper: Raffel et al. 2020, section 3.3.1.
Reason: that shuffled tokens prepare badly should show at any size; the other two lie close together.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  fine-tuning on tasks; the rate of pre-training rises for 10,000 steps, where the paper's is constant; 512 tokens of
  text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t4 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t4.md
"""

from experiments.ablations.t5 import objectives_study
from experiments.studies.config import StudyConfig

NOISES = {"prefix LM": {"objective": "prefix_lm"}, "BERT-style": {"objective": "bert_style"},
          "deshuffling": {"objective": "deshuffling"}}
PAPER = {"prefix_lm": (80.69, 18.94, 77.99, 65.27, 26.86, 39.73, 27.49),
         "bert_style": (82.96, 19.17, 80.65, 69.85, 26.78, 40.03, 27.41),
         "deshuffling": (73.17, 18.59, 67.61, 58.47, 26.11, 39.30, 25.62)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    return objectives_study(
        4, scale, data, NOISES, PAPER, reference='bert_style',
        question="Prefix language model, BERT-style denoising, or shuffled tokens put back in order?",
        rows=(
            ("Shuffled tokens prepare worse than BERT's noise", "GLUE 73.17 against 82.96, SQuAD 67.61 against 80.65",
             "bert_style", "deshuffling"),
            ("BERT's noise prepares better than a prefix language model", "GLUE 82.96 against 80.69", "bert_style",
             "prefix_lm", "reverses at this scale")))
