"""Who may attend to whom, as an array. Built once per forward pass; no attention module knows about it."""

import enum

import jax
import jax.numpy as jnp
from flax import struct


class Visibility(enum.Enum):
    """What a position may see of its own stream."""

    BIDIRECTIONAL = "bidirectional"
    CAUSAL = "causal"
    PREFIX = "prefix"


@struct.dataclass
class Pattern:
    """The same as such an array, in words: for kernels that need not be told of each pair of positions."""

    segment_ids_bq: jax.Array
    segment_ids_bk: jax.Array
    visibility: Visibility = struct.field(pytree_node=False)
    window: int = struct.field(pytree_node=False, default=0)
    one_segment: bool = struct.field(pytree_node=False, default=False)  # rows hold one segment, then padding
    crosses: bool = struct.field(pytree_node=False, default=False)  # queries and keys are different streams


@struct.dataclass
class Seen:
    """Who may attend to whom; what is not used of it is not computed."""

    visible_bqk: jax.Array
    pattern: Pattern | None = None  # None: only the array knows
    windowed: bool | jax.Array = False  # a sliding window is part of it


def seen_self(visibility: Visibility, segment_ids_bt: jax.Array, prefix_bt: jax.Array, window: int = 0,
              index_q: jax.Array | None = None, one_segment: bool = False) -> Seen:
    """`visible_self` with its pattern, where all positions ask."""
    pattern = Pattern(segment_ids_bt, segment_ids_bt, visibility, window, one_segment) if index_q is None else None
    return Seen(visible_self(visibility, segment_ids_bt, prefix_bt, window, index_q), pattern, window > 0)


def seen_cross(segment_ids_bq: jax.Array, segment_ids_bk: jax.Array, one_segment: bool = False) -> Seen:
    """`visible_cross` with its pattern."""
    pattern = Pattern(segment_ids_bq, segment_ids_bk, Visibility.BIDIRECTIONAL, one_segment=one_segment, crosses=True)
    return Seen(visible_cross(segment_ids_bq, segment_ids_bk), pattern)


def visible_self(visibility: Visibility, segment_ids_bt: jax.Array, prefix_bt: jax.Array, window: int = 0,
                 index_q: jax.Array | None = None) -> jax.Array:
    """Which keys each query of a stream may attend to.

    Drawn for one segment of five tokens, rows are queries, `#` may attend, with the first two tokens the prefix:

        BIDIRECTIONAL   CAUSAL    PREFIX    CAUSAL, window 2
            #####       #....     ##...     #....
            #####       ##...     ##...     ##...
            #####       ###..     ###..     .##..
            #####       ####.     ####.     ..##.
            #####       #####     #####     ...##

    Args:
      visibility: the pattern.
      segment_ids_bt: int [b, t]; 0 is padding, which nobody sees; tokens see their own segment only.
      prefix_bt: bool [b, t], True where PREFIX lets a token be seen from anywhere in its segment; else not read.
      window: 0, or the reach of a sliding window: causal patterns see the last `window` positions, themselves
        included; a bidirectional one sees `window // 2` positions to either side.
      index_q: int [q], the positions that ask; None: all.

    Returns:
      bool [b, q, k], True = may attend.
    """
    index_t = jnp.arange(segment_ids_bt.shape[1])
    distance_qk = (index_t if index_q is None else index_q)[:, None] - index_t[None, :]
    asking_bq = segment_ids_bt if index_q is None else segment_ids_bt[:, index_q]
    visible_bqk = visible_cross(asking_bq, segment_ids_bt)
    if visibility is Visibility.CAUSAL:
        visible_bqk &= distance_qk >= 0
    elif visibility is Visibility.PREFIX:
        visible_bqk &= (distance_qk >= 0) | prefix_bt[:, None, :]
    if window and visibility is Visibility.BIDIRECTIONAL:
        visible_bqk &= jnp.abs(distance_qk) <= window // 2
    elif window:
        visible_bqk &= jnp.abs(distance_qk) < window
    return visible_bqk


def visible_cross(segment_ids_bq: jax.Array, segment_ids_bk: jax.Array) -> jax.Array:
    """bool [b, q, k]: real positions of the same segment; used between streams, and as the base within one."""
    same_bqk = segment_ids_bq[:, :, None] == segment_ids_bk[:, None, :]
    return same_bqk & (segment_ids_bk != 0)[:, None, :]


def draw(visible_qk: jax.Array) -> str:
    """A [q, k] pattern as text, one row a line: `#` may attend, `.` may not."""
    return "\n".join("".join("#" if seen else "." for seen in row) for row in visible_qk)
