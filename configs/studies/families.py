"""The default study: three families and their objectives, on the documentation that every Python brings along.

Reason: the question the project exists for, at a size that two cores train in about ten minutes.
Command: make compare, or python -m experiments.study --config=configs/studies/families.py --workdir=runs/families
Expected: see docs/families.md
"""

from arch_zoo.config import DataConfig, FineTuningConfig, ModelConfig, OptimizerConfig, RunConfig
from experiments.studies.config import Arm, Claim, StudyConfig


def get_config() -> StudyConfig:
    base = RunConfig(
        steps=120, batch_size=16, log_every=5, evaluate_every=30, evaluate_batches=8, checkpoint_every=60,
        model=ModelConfig(width=128, depth=4, heads=4, activation="relu", position="rotary"),
        optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=20),
        data=DataConfig(corpus="python_docs", length=128),
    )
    return StudyConfig(
        title="Encoder, decoder, encoder-decoder",
        question="With the same text, tokenizer, width, depth, recipe and number of tokens: which family, trained by "
                 "which objective, models held-out text best, tells good sentences from spoilt ones, and classifies "
                 "after fine-tuning?",
        base=base,
        arms=(
            Arm("encoder, masked LM", {"model.architecture": "encoder_only", "objective": "masked_lm"}),
            Arm("decoder, causal LM", {"model.architecture": "decoder_only", "objective": "causal_lm"}),
            Arm("prefix decoder, prefix LM", {"model.architecture": "prefix_decoder", "objective": "prefix_lm"}),
            Arm("encoder-decoder, prefix LM", {"model.architecture": "encoder_decoder", "objective": "prefix_lm"}),
            Arm("encoder-decoder, span corruption", {"model.architecture": "encoder_decoder",
                                                     "objective": "span_corruption"}),
        ),
        varies=("model.architecture", "objective"),
        reference="decoder_causal_lm",
        fine_tuning=FineTuningConfig(examples=640, length=48),
        claims=(
            Claim(text="Early in training, a causal LM classifies better than a masked LM once both are fine-tuned "
                       "bidirectionally",
                  source="Gisserot-Boukhlef et al. 2025, sequence classification by step",
                  numbers="610M, after 2.4 G tokens 68.3 against 66.9, after 12 G 78.6 against 72.5 (after 95 G 83.5 "
                          "against 86.4)",
                  metric="classification/shared", better_arm="decoder_causal_lm", worse_arm="encoder_masked_lm"),
            Claim(text="A masked LM classifies better than a causal LM, each fine-tuned under its own visibility",
                  source="Devlin et al. 2018 (BERT), Table 5, both without next-sentence prediction",
                  numbers="MNLI 83.9 against 82.1, MRPC 86.5 against 77.5, SST-2 92.6 against 92.1",
                  metric="classification/own", better_arm="encoder_masked_lm", worse_arm="decoder_causal_lm",
                  expectation="reverses at this scale"),
            Claim(text="Span corruption prepares an encoder-decoder better for classification than prefix LM does",
                  source="Raffel et al. 2020 (T5), Table 2",
                  numbers="GLUE 83.28 against 79.56, SuperGLUE 71.36 against 64.29; the standard deviation of one run "
                          "is 0.24 and 0.42",
                  metric="classification/own", better_arm="encoder_decoder_span_corruption",
                  worse_arm="encoder_decoder_prefix_lm"),
        ),
    )
