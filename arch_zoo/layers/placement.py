"""Where the residual stream lies on several devices: the one thing that layers are told of them.

Left to itself, XLA follows parameters that are cut along the width, cuts the stream in the same way, and lets each
device compute on the rows of all (measured in benchmarks/NOTES.md).
"""

import contextlib
import contextvars
from collections.abc import Iterator

import jax
from jax.sharding import NamedSharding, PartitionSpec

_ROWS: contextvars.ContextVar[NamedSharding | None] = contextvars.ContextVar("rows", default=None)


@contextlib.contextmanager
def rows_lie(sharding: NamedSharding) -> Iterator[None]:
    """While a step is traced in here, `kept_with_rows` binds streams to this sharding of their leading axis."""
    token = _ROWS.set(sharding)
    try:
        yield
    finally:
        _ROWS.reset(token)


def kept_with_rows(x_btd: jax.Array) -> jax.Array:
    """The stream, each row whole where the batch has it; as it is where nobody said where rows lie."""
    sharding = _ROWS.get()
    return x_btd if sharding is None else jax.lax.with_sharding_constraint(x_btd, sharding)


def gathered(table_vd: jax.Array) -> jax.Array:
    """A table from which rows of a batch are looked up: its entries whole, however they are kept."""
    sharding = _ROWS.get()
    if sharding is None:
        return table_vd
    return jax.lax.with_sharding_constraint(table_vd, NamedSharding(sharding.mesh, PartitionSpec(
        PartitionSpec.UNCONSTRAINED, None)))
