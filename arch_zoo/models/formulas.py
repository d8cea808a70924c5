"""Closed formulas for the matrix products of a forward pass, per example; multiply-add is two operations.

The ledger prints them, and a test holds them equal to what the jaxpr says.
"""

import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.layers.visibility import Visibility


def stack_flops(config: ModelConfig, depth: int, length: int, memory_length: int = 0) -> int:
    """A stack of blocks over `length` positions; with cross-attention where there is a memory."""
    c, heads = config, config.heads * config.size_of_head
    key_value_heads = config.key_value_heads * config.size_of_head

    def attention(queries: int, keys: int) -> int:
        projections = 2 * c.width * (2 * queries * heads + 2 * keys * key_value_heads)
        return projections + 4 * queries * keys * heads  # logits, and the mixing of the values

    feed_forward = 2 * length * c.width * c.size_of_mlp * (3 if c.gated else 2)
    cross = attention(length, memory_length) if memory_length else 0
    positions = c.position.relate_flops(length, c.width, c.heads, c.size_of_head)
    return depth * (attention(length, length) + positions + cross + feed_forward)


def visible_pairs(visibility: Visibility, length: int, prefix: int = 0, window: int = 0) -> int:
    """How many pairs of query and key `visible_self` allows in one segment, the first `prefix` tokens of it the prefix.
    """
    query = np.arange(length)
    last = {Visibility.BIDIRECTIONAL: np.full(length, length - 1), Visibility.CAUSAL: query,
            Visibility.PREFIX: np.maximum(query, prefix - 1)}[visibility]
    if not window:
        return int((last + 1).sum())
    reach = window // 2 if visibility is Visibility.BIDIRECTIONAL else window - 1
    return int((np.minimum(last, query + reach) - np.maximum(query - reach, 0) + 1).sum())


def hidden_flops(config: ModelConfig, depth: int, length: int, visibility: Visibility, prefix: int = 0) -> int:
    """What of `stack_flops` attention spends on keys of its own stream that no query may see.

    They are hidden by the direction and by sliding windows; documents that share a window are not known here.
    """
    windows = config.windows or (0,)
    hidden = sum(length**2 - visible_pairs(visibility, length, prefix, windows[i % len(windows)]) for i in range(depth))
    return 4 * hidden * config.heads * config.size_of_head


def entry_flops(config: ModelConfig, length: int) -> int:
    """Bringing embeddings of another size to the width."""
    return 2 * length * config.embedding_dim * config.width if config.embedding_dim else 0


def sentence_flops(config: ModelConfig) -> int:
    """The pooler of one row, and the classes read from it."""
    return 2 * config.width * (config.width + config.sentence_classes)


def discriminator_flops(config: ModelConfig, positions: int) -> int:
    """Was the token replaced, at so many positions."""
    return 2 * positions * config.width * (config.width + 1)


def head_flops(config: ModelConfig, vocab_size: int, positions: int) -> int:
    """The vocabulary projection at so many positions."""
    size = config.size_of_embedding
    transform = config.width * size if config.head_transform or config.embedding_dim else 0
    return 2 * positions * (size * vocab_size + transform)
