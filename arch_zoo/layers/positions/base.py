"""The interface of a position scheme."""

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import jax

from arch_zoo.settings import Settings

# (name, initializer, shape) -> array: how a scheme asks the module that hosts it for a learned table.
MakeParam = Callable[..., jax.Array]


@dataclasses.dataclass(frozen=True)
class Position(Settings):
    """Where a token stands, told to the model through at most four hooks, each a no-op unless overridden.

    There is one slot for a scheme in a model, so choosing one replaces every other. Positions count from 0 within a
    segment, and a distance is the query's position less the key's. The direction that a scheme needs comes from the
    visibility of the stream, never from an option.
    """

    needs_max_len: ClassVar[bool] = False
    learns_bias: ClassVar[bool] = False  # what it adds to logits has a gradient

    def refusal(self, head_dim: int) -> str | None:
        """Why the scheme cannot work with heads of this size, or None."""

    def embed(self, param: MakeParam, positions_bt: jax.Array, width: int, max_len: int) -> jax.Array | None:
        """Added to the token embeddings: [b, t, width], or None."""

    def rotate(self, x_bthd: jax.Array, positions_bt: jax.Array, windowed: bool | jax.Array = False) -> jax.Array:
        """Applied to the queries and keys of self-attention; same shape. `windowed`: the block has a sliding window."""
        return x_bthd

    def relate(self, param: MakeParam, q_bqhd: jax.Array, k_bkgd: jax.Array, distance_bqk: jax.Array,
               width: int) -> jax.Array | None:
        """Added to the products of one block's queries and keys, and scaled with them: [b, heads, q, k], or None.

        The b of the distances is 1 where they are the same in all rows.

        `param` makes parameters of the block, where that of the other hooks belongs to the stream or the stack.
        """

    def bias(self, param: MakeParam, distance_bqk: jax.Array, heads: int, bidirectional: bool) -> jax.Array | None:
        """Added to the logits of self-attention in every block: [b, heads, q, k], or None.

        `bidirectional` is True where a query may see keys after itself (bidirectional and prefix visibility).
        """

    def relate_flops(self, length: int, width: int, heads: int, head_dim: int) -> int:
        """Operations of the matrix products in `relate`, for one example."""
        return 0
