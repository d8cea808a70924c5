"""The interface of an attention kernel, and what one is asked for."""

import dataclasses
import functools
from collections.abc import Callable
from typing import ClassVar

import jax
from absl import logging

from arch_zoo.layers.visibility import Pattern, Seen
from arch_zoo.settings import Settings

Drop = Callable[[jax.Array], jax.Array]


@dataclasses.dataclass(frozen=True)
class Asked:
    """All that decides whether a kernel can do it, known before anything is computed."""

    platform: str           # "cpu", "gpu", "tpu"
    dtype: str              # of queries, keys and values
    queries: int            # lengths
    keys: int
    head_dim: int
    pattern: Pattern | None  # None: only the array knows who sees whom
    bias: str | None = None  # None; "fixed"; with a gradient "shared" by all rows, or "learned" for each
    dropout: bool = False    # on the probabilities
    train: bool = False      # there will be gradients
    key_value_heads: int = 1
    devices_a_row: int = 1   # so many have heads of the same row


@dataclasses.dataclass(frozen=True)
class Kernel(Settings):
    """A function of queries, keys and values [b, length, heads, head_dim], and of who sees whom.

    It gives the same as every other kernel: zeros where a query may attend to nothing, the softmax in float32.
    `platforms` says where it runs.
    """

    platforms: ClassVar[tuple[str, ...]] = ()

    def refusal(self, asked: Asked) -> str | None:
        """Why it cannot do this, or None."""
        raise NotImplementedError

    def chosen(self, asked: Asked) -> "Kernel":
        """What computes it: this kernel, or, where it refuses, the one that can do all; the log says so, once."""
        if reason := self.refusal(asked):
            return fall_back(f"{self.name}: {reason}", aloud=asked.train)
        return self

    def __call__(self, q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, seen: Seen,
                 bias_bhqk: jax.Array | None, *, scale: float, drop: Drop | None) -> jax.Array:
        """[b, q, h, d]; the arguments are those of `attend`."""
        raise NotImplementedError


def fall_back(reasons: str, aloud: bool) -> Kernel:
    """The kernel that can do all; in training the log says why it is used."""
    from arch_zoo.layers.kernels.einsum import Einsum

    if aloud:
        _say_once(f"attention is computed by einsum, which holds all logits: {reasons}")
    return Einsum()


@functools.cache
def _say_once(message: str) -> None:
    logging.warning("%s", message)
