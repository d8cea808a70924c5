"""BART, Table 1: by which noise should an encoder-decoder be pre-trained?

Paper: Lewis et al. 2019, section 4.
Reason: two of the noises are clearly bad, which shows after few tokens; the others tie.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  writing answers and summaries; the optimizer's settings were not printed for this size and are BERT's, and the batch.
Command: python -m experiments.reproduce --table=bart.t1 --scale=bench --data=FOLDER
Expected: docs/ablations/bart_t1.md
"""

from experiments.ablations.protocol import EXPECTATION, at, claims, continued, table, text_run
from experiments.studies.config import StudyConfig

NONE = {"objective": "denoising", "objective.infill_rate": 0.0, "objective.permute_sentences": False}
NOISES = {"token masking": NONE | {"objective.mask_rate": 0.3}, "token deletion": NONE | {"objective.delete_rate": 0.3},
          "text infilling": NONE | {"objective.infill_rate": 0.3},
          "document rotation": NONE | {"objective.rotate": True},
          "sentence shuffling": NONE | {"objective.permute_sentences": True},
          "infilling and shuffling": NONE | {"objective.infill_rate": 0.3, "objective.permute_sentences": True}}
COLUMNS = ("ELI5", "XSum", "ConvAI2", "CNN/DM")
PAPER = {"token_masking": (25.05, 7.08, 11.73, 6.10), "token_deletion": (24.61, 6.90, 11.46, 5.87),
         "text_infilling": (24.26, 6.61, 11.05, 5.83), "document_rotation": (53.69, 17.14, 19.87, 10.59),
         "sentence_shuffling": (41.87, 10.93, 16.67, 7.89), "infilling_and_shuffling": (24.17, 6.62, 11.12, 5.41)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = text_run(scale, data, changes={
        "model.architecture": "encoder_decoder", "objective": "prefix_lm",
        **at(scale, bench={"steps": 100, "optimizer.warmup_steps": 20}, gpu={"steps": 750}, paper={
            "steps": 20_000, "optimizer.learning_rate": 3e-5, "optimizer.warmup_steps": 500})},
        row="bart_base", text="books and Wikipedia")
    recipe = {"optimizer.learning_rate": 1e-4, "optimizer.warmup_steps": 10_000} if scale == "paper" else {}
    before = at(scale, bench=400, gpu=3000, paper=1_000_000)
    metric, source = "loss/prefix_lm", "Lewis et al. 2019, Table 1"
    return StudyConfig(
        title=f"BART, Table 1, at {scale} scale",
        question=f"An encoder-decoder restores spoilt text for {before:,} steps, and then learns in {base.steps:,} to "
                 f"write the second half of a text given the first: which way to spoil prepares best?",
        base=base, arms=continued(NOISES, {"steps": before, **recipe}), reference="text_infilling", match="steps",
        varies=("objective",), count_preparation=False, metrics=(), losses=("prefix_lm",), scale=scale,
        stand_in=stand_in,
        claims=(*claims(source, metric,
                        ("Infilling beats rotated documents", "ELI5 24.26 against 53.69, XSum 6.61 against 17.14",
                         "text_infilling", "document_rotation"),
                        ("Infilling beats shuffled sentences", "ELI5 24.26 against 41.87, XSum 6.61 against 10.93",
                         "text_infilling", "sentence_shuffling"),
                        ("Between infilling and masking there is little", "ELI5 24.26 against 25.05", "text_infilling",
                         "token_masking", 0.05)),
                *claims(EXPECTATION, metric,
                        ("Denoising beats no pre-training", "", "text_infilling", "no_pre_training"))),
        paper=table(f"{source}: perplexity after fine-tuning, six and six layers of 768", COLUMNS, "text_infilling",
                    PAPER,
                    lower=True, beside={"XSum": metric},
                    note="Ours is the loss of a text's second half given its first."))
