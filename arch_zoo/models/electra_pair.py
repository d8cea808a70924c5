"""A generator beside a model that reads what it wrote (ELECTRA; Clark et al. 2020, section 2)."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.layers.initializers import kernel_initializer
from arch_zoo.layers.products import Dense
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch
from arch_zoo.models.heads import VocabularyHead, take_positions
from arch_zoo.models.single_stack import SingleStack


def generator_config(config: ModelConfig, share: float) -> ModelConfig:
    """As deep as the model with this config, and `share` as wide: in width, heads and feed-forward (section 3.2)."""
    def part(size: int) -> int:
        return max(1, round(share * size))

    width, heads = part(config.width), part(config.heads)
    kv_heads = config.kv_heads and next(n for n in range(part(config.kv_heads), 0, -1) if heads % n == 0)
    size = config.size_of_embedding
    return config.replace(width=width, heads=heads, kv_heads=kv_heads, head_dim=config.size_of_head,
                          mlp_dim=part(config.size_of_mlp), embedding_dim=None if width == size else size,
                          vocabulary_head=True, discriminator=False)


class Generator(nn.Module):
    """From embeddings to tokens: a projection to its width where that is another, a stack, a vocabulary head."""

    config: ModelConfig
    vocab_size: int

    @nn.compact
    def __call__(self, x_btd: jax.Array, table_vd: jax.Array, batch: Batch, visibility: Visibility, *,
                 train: bool) -> jax.Array:
        """Logits [b, n, v] at the loss positions."""
        c, s = self.config, batch.stream
        if c.embedding_dim is not None:
            x_btd = Dense(c.width, dtype=x_btd.dtype, kernel_init=kernel_initializer(c), name="projection")(x_btd)
        hidden_btd = Stack(c, c.depth, name="stack")(x_btd, visibility, s.segment_ids, s.positions, s.prefix,
                                                     batch.example_ids, one_segment=batch.one_segment, train=train)
        head = VocabularyHead(c, self.vocab_size, name="head")
        return head(take_positions(hidden_btd, batch.loss_positions), table_vd).logits()


class ElectraPair(SingleStack):
    """A single stack and its generator. They share all embeddings: of tokens, positions and types, and their norm.

    All parameters but those under "generator" are those of the single stack by itself, and so are all methods but
    `__call__` and `restored`: hidden states, and what is fine-tuned, are the stack's.
    """

    generator_share: float = 0.25

    def setup(self):
        super().setup()
        self.generator = Generator(generator_config(self.config, self.generator_share), self.vocab_size)

    def __call__(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """The generator's logits [b, n, v] at the loss positions."""
        if self.is_initializing():
            super().__call__(batch, visibility, train=train)
        s = batch.stream
        x_btd = self.entry(self.embedding(s.tokens, stream="stream"), s.positions, s.types, batch.example_ids,
                           dtype=jnp.dtype(self.dtype), train=train, project=False)
        return self.generator(x_btd, self.embedding.table_vd, batch, visibility, train=train)

    def restored(self, batch: Batch, visibility: Visibility, *, train: bool) -> tuple[jax.Array, jax.Array | None]:
        """(the stack's logits [b, n, v] at the loss positions, logits [b, t] that a token was replaced, or None)."""
        hidden_btd = self.hidden(batch, visibility, train=train)
        logits_bnv = self._projected(hidden_btd, batch).logits()
        return logits_bnv, self.discriminator(hidden_btd) if self.config.discriminator else None
