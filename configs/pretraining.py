"""A small causal language model on several corpora of English at once: the start of the fine-tunings in docs.

Reason: CoLA and SST-2 are too small to learn English from; of four million words of essays, news, reviews,
  speeches and talk, two cores read most within a quarter of an hour.
Command: python -m experiments.train --config=configs/pretraining.py:DIR --workdir=runs/pretrained
  DIR holds brown.txt, abc.txt, movie_reviews.txt, state_union.txt and webtext.txt, with blank lines between documents.
Expected: see docs/fine_tuning.md
"""

from arch_zoo.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig

CORPORA = ("brown", "abc", "movie_reviews", "state_union", "webtext")


def get_config(folder: str) -> RunConfig:
    first, *others = (f"{folder}/{name}.txt" for name in CORPORA)
    return RunConfig(
        steps=900, batch_size=32, log_every=50, evaluate_every=300, evaluate_batches=20, checkpoint_every=300,
        model=ModelConfig(width=128, depth=4, heads=4, activation="relu", position="rotary"),
        data=DataConfig(corpus=first, mixed_with=tuple(others), length=128,
                        tokenizer=TokenizerConfig(vocab_size=4096)),
        optimizer=OptimizerConfig(learning_rate=2e-3, warmup_steps=150),
    )
