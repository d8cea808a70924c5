"""T5, Table 2: which shape of model for text to text?

Paper: Raffel et al. 2020, section 3.2: five shapes, pre-trained and fine-tuned.
Reason: the question this project exists for. At bench and gpu scale the shapes learn to translate from scratch, which
  shows what seeing the source from both sides gives; objectives, the table's other half, are not run there, since what
  pre-training adds needs the paper's scale.
At paper scale, other than the paper: SST-2 stands for all of GLUE, and the other tasks are not measured; fine-tuning is
  three passes with AdamW, not 2^18 steps with Adafactor, and the last weights count, not the best; the rate rises for
  10,000 steps, where the paper's is constant; 512 tokens of text a window, before corruption.
Command: python -m experiments.reproduce --table=t5.t2 --scale=bench --data=FOLDER
Expected: docs/ablations/t5_t2.md
"""

from experiments.ablations.protocol import at, classifying, pairs_run, t5_run
from experiments.studies.config import Arm, Claim, PaperRow, PaperTable, StudyConfig

ARCHITECTURE = "model.architecture"
SHAPES = {
    "encoder-decoder": {},
    "shared": {"model.share_stacks": True},
    "half as deep": {},  # see below
    "language model": {ARCHITECTURE: "decoder_only"},
    "prefix language model": {ARCHITECTURE: "prefix_decoder"},
}
LM_OF = {"language model": "causal_lm"}  # the others see the first part of a text from both sides
COLUMNS = ("GLUE", "CNN/DM", "SQuAD", "SuperGLUE", "En-De", "En-Fr", "En-Ro")
DENOISING = {"encoder_decoder": (83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65),
             "shared": (82.81, 18.78, 80.63, 70.73, 26.72, 39.03, 27.46),
             "half_as_deep": (80.88, 18.97, 77.59, 68.42, 26.38, 38.40, 26.95),
             "language_model": (74.70, 17.93, 61.14, 55.02, 25.09, 35.28, 25.86),
             "prefix_language_model": (81.82, 18.61, 78.94, 68.11, 26.43, 37.98, 27.39)}
LM = {"encoder_decoder_lm": (79.56, 18.59, 76.02, 64.29, 26.27, 39.17, 26.86),
      "shared_lm": (79.60, 18.13, 76.35, 63.50, 26.62, 39.17, 27.05),
      "half_as_deep_lm": (78.67, 18.26, 75.32, 64.06, 26.13, 38.42, 26.89),
      "language_model_lm": (73.78, 17.54, 53.81, 56.51, 25.23, 34.31, 25.38),
      "prefix_language_model_lm": (79.68, 17.84, 76.87, 64.86, 26.28, 37.51, 26.76)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    pre_trained = at(scale, bench=False, gpu=False, paper=True)
    if pre_trained:
        base, stand_in = t5_run(scale, data, changes={"objective": "iid_spans"})
        measured, metric, _ = classifying(data, {"answer": "words", "learning_rate": 1e-4}, scale)
    else:
        base, stand_in = pairs_run(scale, data)
        measured, metric = {"metrics": (), "losses": ("translation",)}, "loss/translation"
    half = {"model.depth": base.model.depth // 2}
    arms = [Arm(name, half if name == "half as deep" else changes) for name, changes in SHAPES.items()]
    if pre_trained:
        arms += [Arm(f"{arm.name}, LM", {**arm.overrides, "objective": LM_OF.get(arm.name, "prefix_lm")})
                 for arm in arms]
    t5 = "Raffel et al. 2020, Table 2"
    claims = [("Letting a decoder see the source from both sides mends most of what a language model lacks",
               "GLUE 81.82 against 74.70, SQuAD 78.94 against 61.14", "prefix_language_model", "language_model", {}),
              ("An encoder-decoder beats a language model of as many operations",
               "GLUE 83.28 against 74.70", "encoder_decoder", "language_model", {}),
              ("An encoder-decoder beats a prefix language model",
               "GLUE 83.28 against 81.82, SQuAD 80.88 against 78.94", "encoder_decoder", "prefix_language_model", {}),
              ("Sharing the stacks costs next to nothing",
               "GLUE 82.81 against 83.28, with half the parameters", "encoder_decoder", "shared",
               {"expectation": "null", "band": 0.03}),
              ("Half the depth costs more than sharing the stacks",
               "GLUE 80.88 against 82.81", "shared", "half_as_deep",
               {} if pre_trained else {"expectation": "reverses at this scale"})]
    return StudyConfig(
        title=f"T5, Table 2, at {scale} scale",
        question="With the same text and as many steps: encoder-decoder, shared, half as deep, language model or "
                 "prefix language model?" + ("" if pre_trained else " Trained to translate; the table's other factor, "
                                             "the objective of pre-training, is not run at this scale."),
        base=base, arms=tuple(arms), reference="encoder_decoder", match="steps",
        varies=(ARCHITECTURE, "model.share_stacks", "model.depth", *(("objective",) if pre_trained else ())),
        **measured, scale=scale, stand_in=stand_in,
        claims=tuple(Claim(text=text, source=t5, numbers=numbers, metric=metric,
                           better_arm=better, worse_arm=worse, **how) for text, numbers, better, worse, how in claims),
        paper=PaperTable(
            source=f"{t5}: pre-trained on C4 by denoising, or as a language model (LM), and fine-tuned",
            columns=COLUMNS, baseline="encoder_decoder", beside={"GLUE": metric}, deviations={"GLUE": 0.235},
            rows=tuple(PaperRow(arm, dict(zip(COLUMNS, values, strict=True)))
                       for arm, values in (DENOISING | LM if pre_trained else DENOISING).items()),
            note="" if pre_trained else "Ours are trained to translate from scratch: the order of shapes can be "
                                        "compared, the numbers cannot. The claim that denoising beats a language model "
                                        "as pre-training is not informative at this scale and is left to scale=paper."))
