"""Encoder-decoder (Vaswani et al. 2017, T5, BART): the source in one stream, the target in another."""

import dataclasses
from typing import ClassVar

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.examples import Form, Lengths, SourceTarget
from arch_zoo.layers.block import Memory
from arch_zoo.layers.cache import Cache, empty_cache
from arch_zoo.layers.embedding import Embedding, Entry
from arch_zoo.layers.stack import Stack
from arch_zoo.layers.visibility import Visibility, seen_cross
from arch_zoo.models.architecture import Architecture, Batch, Reading, Stream, decoder_inputs, make_batch, make_stream
from arch_zoo.models.formulas import entry_flops, head_flops, hidden_flops, stack_flops
from arch_zoo.models.heads import Projection, VocabularyHead, take_positions
from arch_zoo.registry import ARCHITECTURES


@ARCHITECTURES.register("encoder_decoder")
@dataclasses.dataclass(frozen=True)
class EncoderDecoder(Architecture):
    """Two streams:

        source  a b c      encoder  a b c
        target  x y        decoder  BOS x      targets  x y
    """

    visibility: ClassVar[Visibility] = Visibility.CAUSAL
    stacks: ClassVar[int] = 2
    shared_reading: ClassVar[Reading] = Reading("encode", Visibility.BIDIRECTIONAL, "mean",
                                                "encoder alone, bidirectional, mean over tokens", ("encoder",))
    own_reading: ClassVar[Reading] = Reading("hidden", Visibility.CAUSAL, "last",
                                             "text in encoder and decoder, decoder's last token",
                                             ("encoder", "decoder"))

    def refusal(self, objective) -> str | None:
        if objective.form is Form.IN_PLACE:
            return "its examples have one stream, and an encoder-decoder needs a source and a target; " \
                   "use prefix_lm or span_corruption"
        return None

    def model_refusal(self, config: ModelConfig) -> str | None:
        if config.pooler or config.discriminator or not config.vocabulary_head:
            return "model.pooler, discriminator and vocabulary_head=False are for models of one stack"
        return None

    def longest_stream(self, lengths: Lengths) -> int:
        return max(lengths.source, lengths.target)

    def layout(self, example: SourceTarget, example_ids: np.ndarray, bos_id: int) -> Batch:
        tokens, segment_ids, origin, weights = decoder_inputs(example, bos_id)
        source = make_stream(example.source, example.source_segment_ids, example.source_origin)
        return make_batch(make_stream(tokens, segment_ids, origin), source, example.target, example.target_origin,
                          weights, example_ids, capacity=tokens.shape[1])

    def forward_flops(self, config: ModelConfig, vocab_size: int, lengths: Lengths, loss_positions: int) -> int:
        encoder = stack_flops(config, config.encoder_depth or config.depth, lengths.source)
        decoder = stack_flops(config, config.depth, lengths.target, lengths.source)
        return (entry_flops(config, lengths.source) + encoder + entry_flops(config, lengths.target) + decoder
                + head_flops(config, vocab_size, loss_positions))

    def hidden_flops(self, config: ModelConfig, lengths: Lengths) -> int:
        return (hidden_flops(config, config.encoder_depth or config.depth, lengths.source, Visibility.BIDIRECTIONAL)
                + hidden_flops(config, config.depth, lengths.target, self.visibility))

    def build(self, config: ModelConfig, vocab_size: int, dtype: str) -> "EncoderDecoderModel":
        return EncoderDecoderModel(config, vocab_size, dtype)


class EncoderDecoderModel(nn.Module):
    """One table of tokens for both streams, an encoder stack, a decoder stack with cross-attention, a head.

    With `share_stacks` the encoder is the decoder's stack, read without its cross-attention.
    """

    config: ModelConfig
    vocab_size: int
    dtype: str = "float32"

    def setup(self):
        c = self.config
        self.embedding = Embedding(c, self.vocab_size)
        self.encoder_entry, self.decoder_entry = Entry(c), Entry(c)
        self.decoder = Stack(c, c.depth, cross_attention=True)
        self.encoder = self.decoder if c.share_stacks else Stack(c, c.encoder_depth or c.depth)
        self.head = VocabularyHead(c, self.vocab_size)

    def __call__(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Logits [b, n, v] at the loss positions."""
        return self.projected(batch, visibility, train=train).logits()

    def projected(self, batch: Batch, visibility: Visibility, *, train: bool) -> Projection:
        """What `__call__` computes, before it is computed."""
        hidden_btd = self.hidden(batch, visibility, train=train)
        return self.head(take_positions(hidden_btd, batch.loss_positions), self.embedding.table_vd)

    def hidden(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Hidden states [b, t, d] of the decoder's stream; `visibility` is the decoder's."""
        memory = Memory(self.encode(batch, Visibility.BIDIRECTIONAL, train=train),
                        seen_cross(batch.stream.segment_ids, batch.source.segment_ids, batch.one_segment))
        s = batch.stream
        x_btd = self._enter(self.decoder_entry, s, batch.example_ids, "stream", train)
        return self.decoder(x_btd, visibility, s.segment_ids, s.positions, s.prefix, batch.example_ids, memory,
                            one_segment=batch.one_segment, train=train)

    def begin(self, batch: Batch, room: int) -> Cache:
        """The cache with which `extend` reads a decoder's stream of `room` positions; the source has been read."""
        cache = empty_cache(self.config, self.config.depth, len(batch.stream.tokens), room, jnp.dtype(self.dtype))
        return cache.replace(source_segment_ids_bs=batch.source.segment_ids,
                             memory_bsd=self.encode(batch, Visibility.BIDIRECTIONAL, train=False))

    def extend(self, stream: Stream, cache: Cache, visibility: Visibility) -> tuple[jax.Array, Cache]:
        """(hidden states [b, t, d], cache) of t positions of the decoder that follow those in the cache."""
        s, nobody_b = stream, jnp.zeros(len(stream.tokens), jnp.int32)
        memory = Memory(cache.memory_bsd, seen_cross(s.segment_ids, cache.source_segment_ids_bs))
        x_btd = self._enter(self.decoder_entry, s, nobody_b, "stream", False)
        hidden_btd, cache = self.decoder(x_btd, visibility, s.segment_ids, s.positions, s.prefix, nobody_b, memory,
                                         cache=cache, train=False)
        return hidden_btd, cache.replace(memory_bsd=None)

    def logits(self, hidden_btd: jax.Array) -> jax.Array:
        """Logits [..., v] of hidden states [..., d]."""
        return self.head(hidden_btd, self.embedding.table_vd).logits()

    def encode(self, batch: Batch, visibility: Visibility, *, train: bool) -> jax.Array:
        """Hidden states [b, s, d] of the encoder."""
        s = batch.source
        x_bsd = self._enter(self.encoder_entry, s, batch.example_ids, "source", train)
        return self.encoder(x_bsd, visibility, s.segment_ids, s.positions, s.prefix, batch.example_ids, crosses=False,
                            one_segment=batch.one_segment, train=train)

    def _enter(self, entry: Entry, stream: Stream, example_ids_b: jax.Array, name: str, train: bool) -> jax.Array:
        return entry(self.embedding(stream.tokens, stream=name), stream.positions, stream.types, example_ids_b,
                     dtype=jnp.dtype(self.dtype), train=train)
