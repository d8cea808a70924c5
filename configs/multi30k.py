"""English to German on Multi30k: a small encoder-decoder, from nothing.

Reason: 29,000 pairs of short sentences, on which a model of two million parameters is as good as the large ones (Wu et
  al. 2021 find their tiny Transformer ahead of their base one); shared BPE, dropout, label smoothing as in 2017.
Command: python -m experiments.train --config=configs/multi30k.py:DIR --workdir=runs/multi30k
  DIR holds multi30k_train.en, multi30k_train.de, and the same of val and test_….
Expected: see docs/translation.md
"""

from arch_zoo.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.objectives.translation import Translation


def get_config(folder: str) -> RunConfig:
    return RunConfig(
        steps=2500, batch_size=16, log_every=50, evaluate_every=500, evaluate_batches=20, checkpoint_every=500,
        objective=Translation(label_smoothing=0.1),
        model=ModelConfig(architecture="encoder_decoder", width=128, depth=4, heads=4, mlp_dim=256, activation="relu",
                          position="rotary", embedding_dropout=0.1, attention_dropout=0.1, residual_dropout=0.2),
        data=DataConfig(corpus=f"parallel:{folder}/multi30k_*.en,{folder}/multi30k_*.de", length=128,
                        tokenizer=TokenizerConfig(kind="bpe", vocab_size=4096, sentinels=1)),
        optimizer=OptimizerConfig(learning_rate=4e-3, warmup_steps=250, final_fraction=0.02, weight_decay=0.01),
    )
