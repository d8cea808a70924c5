"""cuDNN's flash attention, through `jax.nn.dot_product_attention`."""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp

from arch_zoo.layers.kernels.base import Asked, Drop, Kernel
from arch_zoo.layers.placement import has_members
from arch_zoo.layers.visibility import Pattern, Seen, Visibility
from arch_zoo.registry import KERNELS
from arch_zoo.settings import setting


@KERNELS.register("cudnn")
@dataclasses.dataclass(frozen=True)
class CuDNN(Kernel):
    """Rows of one segment go in as their lengths; segments that share a row, and prefixes, as a bias [b, 1, q, k].

    Its gradient takes even lengths only, as JAX asks for it, so odd ones get one more place, which nobody sees. The
    limits are those of cuDNN as JAX 0.10 to 0.12 call it.
    """

    platforms = ("gpu",)
    dense: bool = setting(True, "takes patterns that it has no words for, as a dense bias; else it refuses them")
    implementation: Literal["cudnn", "xla"] = setting("cudnn", "xla: the same call on any device, for tests")

    def refusal(self, asked: Asked) -> str | None:
        if self.implementation == "cudnn" and asked.platform not in self.platforms:
            return f"it runs on GPUs, and this is a {asked.platform}"
        if self.implementation == "cudnn" and asked.dtype not in ("bfloat16", "float16"):
            return f"it computes in 16 bits, and dtype={asked.dtype}; set dtype=bfloat16"
        if asked.dropout:
            return "dropout is keyed by example here, and it has its own; set model.attention_dropout=0"
        if asked.bias == "learned":
            return ("it has a gradient for a bias of all rows alike, and learned ones are of each row where rows hold "
                    "several segments; set data.segments=False")
        if asked.head_dim % 8 or asked.head_dim > 128:
            return f"heads have {asked.head_dim} entries, and it takes multiples of 8 up to 128"
        if asked.pattern is None and not asked.train:
            return "it reads no cache: a query at a time is no work for it"
        dense = asked.bias is not None or not _has_words(asked.pattern)
        if dense and not self.dense:
            return "it has no words for segments that share a row, prefixes and biases"
        if asked.key_value_heads % asked.devices_a_row:
            return (f"{asked.devices_a_row} devices share a row (mesh, tensor), which do not divide its "
                    f"{asked.key_value_heads} heads of keys")
        return None

    def __call__(self, q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, seen: Seen,
                 bias_bhqk: jax.Array | None, *, scale: float, drop: Drop | None) -> jax.Array:
        b, q, h, _ = q_bqhd.shape
        bias = None if bias_bhqk is None else _evened(bias_bhqk.astype(q_bqhd.dtype), 2, 3)
        # cuDNN before 9.10.2 takes no window beside a bias. JAX maps the call over members where each has a bias of its
        # own, of all rows and heads: the mask, which is each member's, makes it one.
        if _has_words(seen.pattern) and (bias is None or not seen.pattern.window and not has_members()):
            keywords = _in_words(seen.pattern)
        else:
            mask = _evened(seen.visible_bqk[:, None], 2, 3)
            keywords = {"mask": jnp.broadcast_to(mask, (b, h, *mask.shape[2:])) if has_members() else mask}
        out_bqhd = jax.nn.dot_product_attention(*(_evened(x, 1) for x in (q_bqhd, k_bkgd, v_bkgd)), bias, scale=scale,
                                                implementation=self.implementation, **keywords)[:, :q]
        return jnp.where(seen.visible_bqk.any(axis=-1)[:, :, None, None], out_bqhd, 0)


def _evened(x: jax.Array, *axes: int) -> jax.Array:
    """Zeros, or False, at the end of those axes that are odd."""
    return jnp.pad(x, [(0, length % 2 if axis in axes else 0) for axis, length in enumerate(x.shape)])


def _has_words(pattern: Pattern | None) -> bool:
    """Whether lengths, causality and a window to the left say it all."""
    if pattern is None or not pattern.one_segment:
        return False
    return pattern.visibility is Visibility.CAUSAL or \
        pattern.visibility is Visibility.BIDIRECTIONAL and not pattern.window


def _in_words(pattern: Pattern) -> dict:
    def lengths(segment_ids):
        return jnp.sum(segment_ids != 0, axis=1, dtype=jnp.int32)

    return {"query_seq_lengths": lengths(pattern.segment_ids_bq),
            "key_value_seq_lengths": lengths(pattern.segment_ids_bk),
            "is_causal": pattern.visibility is Visibility.CAUSAL,
            "local_window_size": (pattern.window - 1, 0) if pattern.window else None}
