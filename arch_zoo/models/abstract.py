"""A model's parameters as shapes: nothing is allocated, so any size can be looked at."""

import functools
from typing import Any

import jax
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.models.architecture import make_batch, make_stream


def plain(config: ModelConfig) -> ModelConfig:
    """The same model run in the plainest way: what differs is how it is computed, never what.

    As a loop the stack traces in no time, and the tree of parameters is the same.
    """
    return config.replace(scan=True, scan_unroll=1, remat=False, remat_keeps="nothing", attention_kernel=Einsum())


def abstract_parameters(config: ModelConfig, vocab_size: int) -> Any:
    """The tree of `jax.ShapeDtypeStruct` that initialising the model gives."""
    model = config.architecture.build(plain(config), vocab_size, "float32")
    tokens = np.zeros((1, 2), np.int32)
    stream = make_stream(tokens, np.ones_like(tokens), tokens)
    batch = make_batch(stream, stream, tokens, tokens, tokens, np.zeros(1), 2)
    visibility = config.architecture.visibility
    return jax.eval_shape(lambda: model.init(jax.random.key(0), batch, visibility, train=False)["params"])


@functools.cache
def count_parameters(config: ModelConfig, vocab_size: int) -> int:
    """How many numbers the model's parameters are."""
    return sum(leaf.size for leaf in jax.tree.leaves(abstract_parameters(config, vocab_size)))
