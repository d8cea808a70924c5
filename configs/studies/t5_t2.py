"""T5, Table 2: which shape of model for text to text?

Paper: Raffel et al. 2020, section 3.2: five shapes, pre-trained and fine-tuned.
Reason: the question this project exists for. At bench and gpu scale the shapes learn to translate from scratch, which
  shows what seeing the source from both sides gives; objectives, the table's other half, are t5.t2_objectives there.
At paper scale, other than the paper: SST-2 stands for all of GLUE, and the other tasks are not measured; fine-tuning is
  three passes with AdamW, not 2^18 steps with Adafactor, and the last weights count, not the best; the rate rises for
  10,000 steps, where the paper's is constant; 512 tokens of text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t2 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t2.md
"""

from experiments.ablations import t5
from experiments.ablations.protocol import REVERSES, at, claims, classifying, pairs_run, t5_run, table
from experiments.studies.config import Arm, StudyConfig


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    pre_trained = at(scale, bench=False, gpu=False, paper=True)
    if pre_trained:
        base, stand_in = t5_run(scale, data, changes={"objective": "iid_spans"})
        measured, metric, _ = classifying(data, {"answer": "words", "learning_rate": 1e-4}, scale)
    else:
        base, stand_in = pairs_run(scale, data)
        measured, metric = {"metrics": (), "losses": ("translation",)}, "loss/translation"
    shapes = t5.shapes(base)
    arms = [Arm(name, sizes) for name, (sizes, _) in shapes.items()]
    if pre_trained:
        arms += [Arm(f"{name}, LM", {**sizes, "objective": language_model})
                 for name, (sizes, language_model) in shapes.items()]
    source = "Raffel et al. 2020, Table 2"
    return StudyConfig(
        title=f"T5, Table 2, at {scale} scale",
        question="With the same text and as many steps: encoder-decoder, shared, half as deep, language model or "
                 "prefix language model?" + ("" if pre_trained else " Trained to translate; the table's other factor, "
                                             "the objective of pre-training, is t5.t2_objectives at this scale."),
        base=base, arms=tuple(arms), reference="encoder_decoder", match="steps",
        varies=("model.architecture", "model.share_stacks", "model.depth", *(("objective",) if pre_trained else ())),
        **measured, scale=scale, stand_in=stand_in,
        claims=claims(source, metric,
                      ("Letting a decoder see the source from both sides mends most of what a language model lacks",
                       "GLUE 81.82 against 74.70, SQuAD 78.94 against 61.14", "prefix_language_model",
                       "language_model"),
                      ("An encoder-decoder beats a language model of as many operations",
                       "GLUE 83.28 against 74.70", "encoder_decoder", "language_model"),
                      ("An encoder-decoder beats a prefix language model",
                       "GLUE 83.28 against 81.82, SQuAD 80.88 against 78.94", "encoder_decoder",
                       "prefix_language_model"),
                      ("Sharing the stacks costs next to nothing",
                       "GLUE 82.81 against 83.28, with half the parameters", "encoder_decoder", "shared", 0.03),
                      ("Half the depth costs more than sharing the stacks", "GLUE 80.88 against 82.81", "shared",
                       "half_as_deep", "holds" if pre_trained else REVERSES)),
        paper=table(
            f"{source}: pre-trained on C4 by denoising, or as a language model (LM), and fine-tuned", t5.COLUMNS,
            "encoder_decoder", t5.DENOISING | t5.LM if pre_trained else t5.DENOISING, beside={"GLUE": metric},
            deviations=t5.GLUE_DEVIATION,
            note="" if pre_trained else "Ours are trained to translate from scratch: the order of shapes can be "
                                        "compared, the numbers cannot. t5.t2_objectives measures what denoising "
                                        "gives as pre-training."))
