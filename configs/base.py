"""The base run: a small decoder trained as a causal language model.

Reason: small enough for a laptop (about a minute on two cores), large enough to learn the look of English prose. ReLU,
  as in the 2017 Transformer and T5: on CPU it costs half of what GELU does.
Command: python -m experiments.train --config=configs/base.py --workdir=runs/base
Expected: see docs/quickstart.md
"""

from arch_zoo.config import ModelConfig, OptimizerConfig, RunConfig


def get_config() -> RunConfig:
    return RunConfig(steps=100, model=ModelConfig(activation="relu"), optimizer=OptimizerConfig(warmup_steps=20))
