"""A model's parameters as shapes: nothing is allocated, so any size can be looked at."""

import functools
from typing import Any

import jax
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.models.architecture import make_batch, make_stream


def abstract_parameters(config: ModelConfig, vocab_size: int) -> Any:
    """The tree of `jax.ShapeDtypeStruct` that initialising the model gives."""
    # As a loop the stack traces in no time, and the tree is the same.
    model = config.architecture.build(config.plain, vocab_size, "float32")
    tokens = np.zeros((1, 2), np.int32)
    stream = make_stream(tokens, np.ones_like(tokens), tokens)
    batch = make_batch(stream, stream, tokens, tokens, tokens, np.zeros(1), 2)
    visibility = config.architecture.visibility
    return jax.eval_shape(lambda key: model.init(key, batch, visibility, train=False)["params"], jax.random.key(0))


@functools.cache
def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """How many numbers the model's parameters are."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_parameters(config, vocab_size)))
