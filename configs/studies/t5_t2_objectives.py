"""T5, Table 2, its other factor: which shape is prepared best by denoising, and which as a language model?

Paper: Raffel et al. 2020, section 3.2: five shapes, each pre-trained in two ways.
Reason: shape and objective are easily taken for each other; here each shape has both, and all go on alike.
At paper scale, other than the paper: what was learnt is measured by the loss of the second half of C4's texts, not by
  fine-tuning on tasks, which t5.t2 does; the rate of pre-training rises for 10,000 steps, where the paper's is
  constant; 512 tokens of text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t2_objectives --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t2_objectives.md
"""

from experiments.ablations import t5
from experiments.ablations.protocol import REVERSES, claims, prepared, table
from experiments.studies.config import StudyConfig


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in, before = t5.going_on(scale, data)
    arms = []
    for shape, (sizes, language_model) in t5.shapes(base).items():
        arms += prepared(shape, sizes | {"objective": "iid_spans"} | before, sizes)
        arms += prepared(f"{shape}, LM", sizes | {"objective": language_model} | before, sizes)
    small = "holds" if scale == "paper" else REVERSES  # decoders learn faster from little, as in t5.t2; see there
    loss, source = "loss/prefix_lm", "Raffel et al. 2020, Table 2"
    return StudyConfig(
        title=f"T5, Table 2, shapes by objectives, at {scale} scale",
        question=f"Five shapes, each prepared for {before['steps']:,} steps by denoising or as a language model, then "
                 f"learn, in {base.steps:,}, to write the second half of a text given the first.",
        base=base, arms=tuple(arms), reference="encoder_decoder", match="steps", count_preparation=False,
        varies=("objective", "model.architecture", "model.share_stacks", "model.depth"), metrics=(),
        losses=("prefix_lm",), scale=scale, stand_in=stand_in,
        claims=claims(source, loss,
                      ("Denoising prepares an encoder-decoder better than language modelling",
                       "GLUE 83.28 against 79.56", "encoder_decoder", "encoder_decoder_lm", small),
                      ("Denoising prepares a prefix language model better than language modelling",
                       "GLUE 81.82 against 79.68", "prefix_language_model", "prefix_language_model_lm", small),
                      ("After denoising, seeing the source from both sides mends most of what a language model lacks",
                       "GLUE 81.82 against 74.70", "prefix_language_model", "language_model"),
                      ("After denoising, an encoder-decoder is ahead of a language model",
                       "GLUE 83.28 against 74.70", "encoder_decoder", "language_model", small),
                      ("After denoising, sharing the stacks costs next to nothing", "GLUE 82.81 against 83.28",
                       "encoder_decoder", "shared", 0.1)),
        paper=table(f"{source}: pre-trained on C4 by denoising, or as a language model (LM), and fine-tuned",
                    t5.COLUMNS, "encoder_decoder", t5.DENOISING | t5.LM, beside={"GLUE": loss},
                    deviations=t5.GLUE_DEVIATION, note="Ours is the loss of a text's second half given its first."))
