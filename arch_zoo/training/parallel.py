"""The same step on one device or many: `jit` with shardings, or `pmap`. Thin wrappers; the body knows of neither."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from arch_zoo.errors import UserError
from arch_zoo.layers import placement
from arch_zoo.mesh import MeshConfig
from arch_zoo.training import sharding


def choose_devices(count: int | None) -> list[jax.Device]:
    """The first `count` devices of all processes, or all; UserError where there are fewer, or a process has none."""
    devices = jax.devices()
    if count is not None and count > len(devices):
        raise UserError(f"devices={count}, but there are {len(devices)} ({devices[0].platform})")
    if count is not None and jax.process_count() > 1:
        raise UserError(f"devices={count} is for one process; {jax.process_count()} use all that they see")
    return devices[:count]


def make_mesh(config: MeshConfig, devices: list[jax.Device]) -> Mesh:
    """The devices along the axes data, fsdp and tensor; UserError where they do not fill them.

    Neighbours along the last axes are neighbours among the devices: of several hosts, each has parts of the batch.
    """
    others = config.fsdp * config.tensor
    data = config.data or max(1, len(devices) // others)
    if data * others != len(devices):
        raise UserError(f"mesh={config} has places for {data * others if config.data else f'multiples of {others}'} "
                        f"devices, and there are {len(devices)}; devices=… says how many to use")
    # Axis types must be Auto: the default of make_mesh makes shardings part of types, which gathers do not accept.
    return jax.make_mesh((data, config.fsdp, config.tensor), (sharding.DATA, sharding.FSDP, sharding.TENSOR),
                         axis_types=(AxisType.Auto,) * 3, devices=devices)


class Parallel:
    """How states and batches are placed and steps are compiled: a batch is cut over data × fsdp, a state by the table
    in training/sharding.py.
    """

    def __init__(self, devices: list[jax.Device], batch_size: int, accumulate: int, mesh: MeshConfig):
        self.devices, self.mesh = devices, make_mesh(mesh, devices)
        parts = len(devices) // self.mesh.shape[sharding.TENSOR]
        if batch_size % (parts * accumulate):
            what = "devices" if parts == len(devices) else "parts of the mesh (data × fsdp)"
            raise UserError(f"batch_size={batch_size} is not divisible by {parts} {what} × accumulate={accumulate}; "
                            f"nearest: {max(1, batch_size // (parts * accumulate)) * parts * accumulate}")
        self.replicated = NamedSharding(self.mesh, PartitionSpec())
        self.split = self.shared = NamedSharding(self.mesh, sharding.BATCH)
        self._batch_size, self._cuts_parameters = batch_size, mesh.cuts_parameters

    @functools.cached_property
    def rows(self) -> np.ndarray:
        """int [rows]: which rows of a batch the devices of this process hold; it has to make only those."""
        held = self.shared.addressable_devices_indices_map((self._batch_size,)).values()
        return np.unique(np.concatenate([np.arange(self._batch_size)[part] for part in held]))

    def shardings(self, tree: Any) -> Any:
        """Where each array of a state, or of its parameters, lies."""
        return sharding.shardings(tree, self.mesh)

    def abstract(self, state: Any) -> Any:
        """The shapes of a state with the places of its arrays: what a checkpoint is restored to."""
        return jax.tree.map(lambda x, where: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=where), state,
                            self.shardings(state))

    def abstract_batch(self, rows: Any) -> Any:
        """The shapes of a whole batch, from those of the rows that this process makes."""
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((self._batch_size, *x.shape[1:]), x.dtype), rows)

    def compile_state(self, make: Callable[..., Any]) -> Callable[..., Any]:
        """`make(batch, …)`, of whose batch only the shapes matter; no device ever holds more than its part."""
        def placed(batch, *arguments):
            state = make(batch, *arguments)
            return jax.lax.with_sharding_constraint(state, self.shardings(state))

        compiled = jax.jit(placed)
        # Zeros, for processes have different rows, and run the same program.
        return lambda batch, *arguments: compiled(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), batch), *arguments)

    def make_state(self, make: Callable[..., Any], batch: Any) -> Any:
        """What `compile_state` gives, once."""
        return self.compile_state(make)(batch)

    def place_state(self, state: Any) -> Any:
        """A state, or its parameters, on the devices."""
        return jax.device_put(state, self.shardings(state))

    def place_knobs(self, knobs: Any) -> Any:
        """What is the same on all devices."""
        return jax.device_put(knobs, self.replicated)

    def place_batch(self, rows: Any) -> Any:
        """A batch of NumPy arrays, of which this process has its `rows`, cut along its leading axis over the devices.
        """
        return self._placed(rows, self.split)

    def place_evaluation(self, rows: Any) -> Any:
        """A held-out batch, which all members share."""
        return self._placed(rows, self.shared)

    def _placed(self, rows: Any, where: NamedSharding) -> Any:
        if jax.process_count() == 1:
            return jax.device_put(rows, where)
        axis = len(where.spec) - 1  # of the rows; members come before it
        return jax.tree.map(lambda x: jax.make_array_from_process_local_data(
            where, x, (*x.shape[:axis], self._batch_size, *x.shape[axis + 1:])), rows)

    def compile_train(self, step: Callable) -> Callable:
        """`step(state, batch, knobs)`; the old state's memory is reused."""
        def placed(state, batch, knobs):
            with placement.rows_lie(self.shared, bound=self._cuts_parameters):
                state, metrics = self._of_members(step)(state, batch, knobs)
            return jax.lax.with_sharding_constraint((state, metrics), (self.shardings(state), self.replicated))

        return jax.jit(placed, in_shardings=(None, self.split, None), donate_argnums=0)

    def compile_evaluation(self, evaluate: Callable) -> Callable:
        """`evaluate(parameters, batch)`."""
        def placed(parameters, batch):
            with placement.rows_lie(self.shared, bound=self._cuts_parameters):
                return self._of_members(evaluate, one_batch=True)(parameters, batch)

        return jax.jit(placed, in_shardings=(None, self.shared), out_shardings=self.replicated)

    def _of_members(self, function: Callable, one_batch: bool = False) -> Callable:
        return function

    def together(self) -> "Together":
        """The same placement for several members in one program."""
        return Together(self)

    def join(self, of_members: Sequence[Any]) -> Any:
        """What is one for each member, as the program takes it."""
        only, = of_members
        return only

    def join_batches(self, batches: Sequence[Any]) -> Any:
        """The batches of the members (NumPy arrays), before they are placed."""
        return self.join(batches)

    def part(self, joined: Any, member: int) -> Any:
        """What of the program's values is one member's."""
        return joined


class Together(Parallel):
    """Members along a leading axis, over which the step is mapped: what one computes cannot reach another."""

    def __init__(self, alone: Parallel):
        self.__dict__.update(alone.__dict__)
        self.split = NamedSharding(self.mesh, PartitionSpec(None, *alone.shared.spec))

    def shardings(self, tree: Any) -> Any:
        one = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), tree)
        return jax.tree.map(lambda where: NamedSharding(self.mesh, PartitionSpec(None, *where.spec)),
                            super().shardings(one))

    def join(self, of_members: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *of_members)

    def join_batches(self, batches: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)

    def part(self, joined: Any, member: int) -> Any:
        return jax.tree.map(lambda x: x[member], joined)

    def _of_members(self, function: Callable, one_batch: bool = False) -> Callable:
        def mapped(state, batch, *knobs):
            if one_batch:  # given to each: JAX does not map cuDNN's call over members that share what it reads
                members = len(jax.tree.leaves(state)[0])
                batch = jax.tree.map(lambda x: jnp.broadcast_to(x, (members, *x.shape)), batch)
            with placement.with_members():
                return jax.vmap(function)(state, batch, *knobs)

        return mapped


class Pmap(Parallel):
    """Placement by `pmap`: each device runs the body on its part, and `psum` joins the parts.

    The state is passed whole (`in_axes=None`), so a run can change between jit and pmap at any checkpoint.
    """

    def __init__(self, devices: list[jax.Device], *arguments):
        super().__init__(devices, *arguments)
        if jax.process_count() > 1:
            raise UserError(f"parallel=pmap is for one process, and there are {jax.process_count()}; use parallel=jit")

    def place_batch(self, rows: Any) -> Any:
        parts = jax.tree.map(lambda x: np.reshape(x, (len(self.devices), -1, *x.shape[1:])), rows)
        return super().place_batch(parts)  # before the step asks for it

    place_evaluation = place_batch

    def compile_train(self, step: Callable) -> Callable:
        return jax.pmap(functools.partial(step, axis=sharding.DATA), axis_name=sharding.DATA, in_axes=(None, 0, None),
                        out_axes=(None, None), devices=self.devices, donate_argnums=0)

    def together(self) -> Together:
        raise UserError("parallel=pmap trains one run at a time; vectorize needs parallel=jit")

    def compile_evaluation(self, evaluate: Callable) -> Callable:
        return jax.pmap(functools.partial(evaluate, axis=sharding.DATA), axis_name=sharding.DATA, in_axes=(None, 0),
                        out_axes=None, devices=self.devices)


def make_parallel(kind: str, devices: list[jax.Device], batch_size: int, accumulate: int,
                  mesh: MeshConfig | None = None) -> Parallel:
    """"jit" or "pmap" over the devices, all on the axis `data` unless a mesh is given; UserError where the batch cannot
    be shared out, or the devices do not fill the mesh."""
    return {"jit": Parallel, "pmap": Pmap}[kind](devices, batch_size, accumulate, mesh or MeshConfig())
