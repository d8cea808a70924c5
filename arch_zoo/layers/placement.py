"""What layers are told of the program they are part of: where the residual stream lies on several devices, and whether
members share the program.

Left to itself, XLA follows parameters that are cut along the width, cuts the stream in the same way, and lets each
device compute on the rows of all (measured in benchmarks/NOTES.md).
"""

import contextlib
import contextvars
import dataclasses
import math
from collections.abc import Callable, Iterator

import jax
from jax.sharding import NamedSharding, PartitionSpec


@dataclasses.dataclass(frozen=True)
class Rows:
    """On which devices the rows of a batch lie."""

    sharding: NamedSharding
    bound: bool  # XLA has to be told of streams; where parameters are whole, it keeps each row on its device by itself


_MEMBERS: contextvars.ContextVar[bool] = contextvars.ContextVar("members", default=False)
_ROWS: contextvars.ContextVar[Rows | None] = contextvars.ContextVar("rows", default=None)


@contextlib.contextmanager
def rows_lie(sharding: NamedSharding, bound: bool) -> Iterator[None]:
    """While a step is traced in here, rows have this sharding of their leading axis."""
    token = _ROWS.set(Rows(sharding, bound))
    try:
        yield
    finally:
        _ROWS.reset(token)


def kept_with_rows(x_btd: jax.Array) -> jax.Array:
    """The stream, each row whole where the batch has it; as it is where XLA need not be told."""
    rows = _ROWS.get()
    return jax.lax.with_sharding_constraint(x_btd, rows.sharding) if rows and rows.bound else x_btd


def gathered(table_vd: jax.Array) -> jax.Array:
    """A table from which rows of a batch are looked up: its entries whole, however they are kept."""
    rows = _ROWS.get()
    if not (rows and rows.bound):
        return table_vd
    return jax.lax.with_sharding_constraint(table_vd, NamedSharding(rows.sharding.mesh, PartitionSpec(
        PartitionSpec.UNCONSTRAINED, None)))


def on_each_device(function: Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """The function of arrays with rows in front, computed by each device for its own rows.

    For programs that XLA cannot divide; the function as it is where nobody said where rows lie.
    """
    rows = _ROWS.get()
    if rows is None:
        return function
    return jax.shard_map(function, mesh=rows.sharding.mesh, in_specs=rows.sharding.spec, out_specs=rows.sharding.spec,
                         check_vma=False)


def devices_a_row() -> int:
    """How many devices share the work on one row: they have different heads of it."""
    rows = _ROWS.get()
    if rows is None:
        return 1
    axes = jax.tree.leaves(tuple(rows.sharding.spec))
    return rows.sharding.mesh.size // math.prod(rows.sharding.mesh.shape[axis] for axis in axes)


@contextlib.contextmanager
def with_members() -> Iterator[None]:
    """While a step is traced in here, it is one that members share: `vmap` goes over it."""
    token = _MEMBERS.set(True)
    try:
        yield
    finally:
        _MEMBERS.reset(token)


def has_members() -> bool:
    """Whether members share the program."""
    return _MEMBERS.get()
