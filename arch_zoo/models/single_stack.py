"""What the architectures with one stream share: encoder-only and decoder-only are the same module.

Names of submodules decide the initial weights at a seed, so the two start from bitwise the same parameters.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.examples import Lengths
from arch_zoo.layers.block import Stack
from arch_zoo.layers.embedding import Embedding
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Architecture, Batch
from arch_zoo.models.formulas import head_flops, stack_flops
from arch_zoo.models.heads import VocabularyHead, take_positions


@dataclasses.dataclass(frozen=True)
class SingleStream(Architecture):
    """One stack reads one stream; a source, where an example has one, stands before the target in it."""

    def longest_stream(self, lengths: Lengths) -> int:
        return lengths.source + lengths.target

    def forward_flops(self, config: ModelConfig, vocab_size: int, lengths: Lengths, loss_positions: int) -> int:
        length = self.longest_stream(lengths)
        return stack_flops(config, config.depth, length) + head_flops(config, vocab_size, loss_positions)

    def build(self, config: ModelConfig, vocab_size: int, dtype: str) -> "SingleStack":
        return SingleStack(config, vocab_size, dtype)


class SingleStack(nn.Module):
    """Embedding, stack, head."""

    config: ModelConfig
    vocab_size: int
    dtype: str = "float32"

    def setup(self):
        self.embedding = Embedding(self.config, self.vocab_size)
        self.stack = Stack(self.config, self.config.depth)
        self.head = VocabularyHead(self.config, self.vocab_size)

    def __call__(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Logits [b, n, v] at the loss positions."""
        hidden_btd = self.hidden(batch, visibility, train=train)
        return self.head(take_positions(hidden_btd, batch.loss_positions), self.embedding.table_vd)

    def hidden(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Hidden states [b, t, d] of the stream."""
        s = batch.stream
        x_btd = self.embedding(s.tokens, s.positions, batch.example_ids, stream="stream", dtype=jnp.dtype(self.dtype),
                               train=train)
        return self.stack(x_btd, visibility, s.segment_ids, s.positions, s.prefix, batch.example_ids, train=train)
