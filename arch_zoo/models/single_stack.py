"""What the architectures with one stream share: encoder-only and decoder-only are the same module.

Names of submodules decide the initial weights at a seed, so the two start from bitwise the same parameters.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp

from arch_zoo.config import ModelConfig
from arch_zoo.examples import Lengths
from arch_zoo.layers.cache import Cache, empty_cache
from arch_zoo.layers.embedding import Embedding, Entry
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Architecture, Batch, Stream
from arch_zoo.models.formulas import entry_flops, head_flops, hidden_flops, stack_flops
from arch_zoo.models.heads import Discriminator, Projection, SentenceHead, VocabularyHead, take_positions


@dataclasses.dataclass(frozen=True)
class SingleStream(Architecture):
    """One stack reads one stream; a source, where an example has one, stands before the target in it."""

    def longest_stream(self, lengths: Lengths) -> int:
        return lengths.source + lengths.target

    def forward_flops(self, config: ModelConfig, vocab_size: int, lengths: Lengths, loss_positions: int) -> int:
        length = self.longest_stream(lengths)
        head = head_flops(config, vocab_size, loss_positions)
        future = config.future_heads * (stack_flops(config, 1, length) + head)
        return entry_flops(config, length) + stack_flops(config, config.depth, length) + head + future

    def hidden_flops(self, config: ModelConfig, lengths: Lengths) -> int:
        length = self.longest_stream(lengths)
        return sum(hidden_flops(config, depth, length, self.visibility, lengths.source)
                   for depth in (config.depth, *[1] * config.future_heads))

    def build(self, config: ModelConfig, vocab_size: int, dtype: str) -> "SingleStack":
        return SingleStack(config, vocab_size, dtype)


class SingleStack(nn.Module):
    """Embedding, stack, heads."""

    config: ModelConfig
    vocab_size: int
    dtype: str = "float32"

    def setup(self):
        c = self.config
        self.embedding = Embedding(c, self.vocab_size)
        self.entry = Entry(c)
        self.stack = Stack(c, c.depth)
        self.head = VocabularyHead(c, self.vocab_size)
        self.sentence_head = SentenceHead(c)
        self.discriminator = Discriminator(c)
        self.future = [Stack(c, 1) for _ in range(c.future_heads)]

    def __call__(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array | None:
        """Logits [b, n, v] at the loss positions; None for a model without a vocabulary head."""
        hidden_btd = self.hidden(batch, visibility, train=train)
        if self.is_initializing():
            self._initialise_other_heads(hidden_btd, batch, visibility, train)
        return self._projected(hidden_btd, batch).logits() if self.config.vocabulary_head else None

    def projected(self, batch: Batch, visibility: Visibility, *, train: bool) -> Projection:
        """What `__call__` computes, before it is computed."""
        return self._projected(self.hidden(batch, visibility, train=train), batch)

    def _projected(self, hidden_btd: jax.Array, batch: Batch) -> Projection:
        return self.head(take_positions(hidden_btd, batch.loss_positions), self.embedding.table_vd)

    def _initialise_other_heads(self, hidden_btd: jax.Array, batch: Batch, visibility: Visibility,
                                train: bool) -> None:
        if self.config.pooler:
            self.sentence_head(hidden_btd)
        if self.config.discriminator:
            self.discriminator(hidden_btd)
        self._future(hidden_btd, batch, visibility, train)

    def hidden(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Hidden states [b, t, d] of the stream."""
        s = batch.stream
        x_btd = self.entry(self.embedding(s.tokens, stream="stream"), s.positions, s.types, batch.example_ids,
                           dtype=jnp.dtype(self.dtype), train=train)
        return self.stack(x_btd, visibility, s.segment_ids, s.positions, s.prefix, batch.example_ids,
                          one_segment=batch.one_segment, train=train)

    def begin(self, batch: Batch, room: int) -> Cache:
        """The cache with which `extend` reads a stream of `room` positions; nothing has been read."""
        return empty_cache(self.config, self.config.depth, len(batch.stream.tokens), room, jnp.dtype(self.dtype))

    def extend(self, stream: Stream, cache: Cache, visibility: Visibility) -> tuple[jax.Array, Cache]:
        """(hidden states [b, t, d], cache) of t positions that follow those in the cache."""
        s, nobody_b = stream, jnp.zeros(len(stream.tokens), jnp.int32)
        x_btd = self.entry(self.embedding(s.tokens, stream="stream"), s.positions, s.types, nobody_b,
                           dtype=jnp.dtype(self.dtype), train=False)
        return self.stack(x_btd, visibility, s.segment_ids, s.positions, s.prefix, nobody_b, cache=cache, train=False)

    def logits(self, hidden_btd: jax.Array) -> jax.Array:
        """Logits [..., v] of hidden states [..., d], of a model with a vocabulary head."""
        return self.head(hidden_btd, self.embedding.table_vd).logits()

    def sentence(self, batch: Batch, visibility: Visibility, *, train: bool) -> tuple[jax.Array, jax.Array | None]:
        """(pooled state [b, d], logits [b, sentence_classes] or None) of a model with a pooler."""
        return self.sentence_head(self.hidden(batch, visibility, train=train))

    def tokens_and_sentence(self, batch: Batch, visibility: Visibility, *,
                            train: bool) -> tuple[Projection, jax.Array]:
        """(what `projected` gives, logits [b, sentence_classes]) from one pass through the stack."""
        hidden_btd = self.hidden(batch, visibility, train=train)
        return self._projected(hidden_btd, batch), self.sentence_head(hidden_btd)[1]

    def replaced(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Logits [b, t] that each token was replaced, of a model with a discriminator."""
        return self.discriminator(self.hidden(batch, visibility, train=train))

    def all_projected(self, batch: Batch, visibility: Visibility, *, train: bool) -> list[Projection]:
        """Logits [b, t, v] of the next token, the one after it, and so on, at all positions: 1 + future_heads of them.

        The trunk that all heads share is the stack, and each head but the next token's is a block after it, with a
        final norm where placement needs one; all share the projection onto the vocabulary. In the paper (Gloeckle et
        al. 2024) the next token has such a block too; here it is read from the stack, as in a causal LM.
        """
        hidden_btd = self.hidden(batch, visibility, train=train)
        states = [hidden_btd, *self._future(hidden_btd, batch, visibility, train)]
        return [self.head(x_btd, self.embedding.table_vd) for x_btd in states]

    def _future(self, hidden_btd: jax.Array, batch: Batch, visibility: Visibility, train: bool) -> list[jax.Array]:
        s = batch.stream
        return [stack(hidden_btd, visibility, s.segment_ids, s.positions, s.prefix, batch.example_ids,
                      one_segment=batch.one_segment, train=train) for stack in self.future]
