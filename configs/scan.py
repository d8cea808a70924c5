"""Commands to actions on SCAN's simple split (Lake & Baroni 2018): a small encoder-decoder, from nothing.

Reason: the one sequence task whose answer is either right or wrong; on the simple split every command has close
  relatives among those trained on, so that a model that fails there has a fault.
Command: python -m experiments.train --config=configs/scan.py:DIR --workdir=runs/scan
  DIR holds tasks_train_simple.txt and tasks_test_simple.txt.
Expected: see docs/translation.md
"""

from arch_zoo.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.objectives.translation import Translation


def get_config(folder: str) -> RunConfig:
    return RunConfig(
        steps=3500, batch_size=8, log_every=50, evaluate_every=500, evaluate_batches=20, checkpoint_every=500,
        objective=Translation(label_smoothing=0.0, target_length=256),
        model=ModelConfig(architecture="encoder_decoder", width=128, depth=2, heads=4, mlp_dim=256, activation="relu",
                          position="rotary", residual_dropout=0.1),
        data=DataConfig(corpus=f"parallel:{folder}/tasks_*_simple.txt", length=64,
                        tokenizer=TokenizerConfig(kind="bpe", vocab_size=420, sentinels=1)),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=200, final_fraction=0.02, weight_decay=0.01),
    )
