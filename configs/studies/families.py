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
        fine_tuning=FineTuningConfig(examples=640),
        claims=(
            Claim("A masked LM classifies better after fine-tuning than a causal LM", "BERT, Table 5",
                  "classification/own", "encoder_masked_lm", "decoder_causal_lm", "reverses at this scale"),
            Claim("An encoder-decoder does better than a prefix decoder trained by the same objective on the same "
                  "number of tokens", "T5, Table 2", "bits_per_byte", "encoder_decoder_prefix_lm",
                  "prefix_decoder_prefix_lm", "holds"),
        ),
    )
