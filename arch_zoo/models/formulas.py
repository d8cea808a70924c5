"""Closed formulas for the matrix products of a forward pass, per example; multiply-add is two operations.

The ledger prints them, and a test holds them equal to what the jaxpr says.
"""

from arch_zoo.config import ModelConfig


def stack_flops(config: ModelConfig, depth: int, length: int, memory_length: int = 0) -> int:
    """A stack of blocks over `length` positions; with cross-attention where there is a memory."""
    c, heads = config, config.heads * config.size_of_head
    key_value_heads = config.key_value_heads * config.size_of_head

    def attention(queries: int, keys: int) -> int:
        projections = 2 * c.width * (2 * queries * heads + 2 * keys * key_value_heads)
        return projections + 4 * queries * keys * heads  # logits, and the mixing of the values

    feed_forward = 2 * length * c.width * c.size_of_mlp * (3 if c.gated else 2)
    cross = attention(length, memory_length) if memory_length else 0
    return depth * (attention(length, length) + cross + feed_forward)


def head_flops(config: ModelConfig, vocab_size: int, positions: int) -> int:
    """The vocabulary projection at so many positions."""
    transform = config.width if config.head_transform else 0
    return 2 * positions * config.width * (vocab_size + transform)
