"""The same step on one device or many: `jit` with shardings, or `pmap`. Thin wrappers; the body knows of neither."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from arch_zoo.errors import UserError

AXIS = "data"


def choose_devices(count: int | None) -> list[jax.Device]:
    """The first `count` devices, or all; UserError where there are fewer."""
    devices = jax.devices()
    if count is not None and count > len(devices):
        raise UserError(f"devices={count}, but there are {len(devices)} ({devices[0].platform})")
    return devices[:count]


class Parallel:
    """How states and batches are placed and steps are compiled."""

    def __init__(self, devices: list[jax.Device], batch_size: int, accumulate: int):
        if batch_size % (len(devices) * accumulate):
            raise UserError(f"batch_size={batch_size} is not divisible by {len(devices)} devices × "
                            f"accumulate={accumulate}; nearest: "
                            f"{max(1, batch_size // (len(devices) * accumulate)) * len(devices) * accumulate}")
        self.devices = devices
        # Axis types must be Auto: the default of make_mesh makes shardings part of types, which gathers do not accept.
        mesh = jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)
        self.replicated = NamedSharding(mesh, PartitionSpec())
        self.split = NamedSharding(mesh, PartitionSpec(AXIS))

    def place_state(self, state: Any) -> Any:
        """A state on all devices, whole on each."""
        return jax.device_put(state, self.replicated)

    def place_batch(self, batch: Any) -> Any:
        """A batch of NumPy arrays cut along its leading axis over the devices."""
        return jax.device_put(batch, self.split)

    def place_evaluation(self, batch: Any) -> Any:
        """A held-out batch, which all members share."""
        return self.place_batch(batch)

    def compile_train(self, step: Callable) -> Callable:
        """`step(state, batch, knobs)`; the old state's memory is reused."""
        return jax.jit(step, in_shardings=(self.replicated, self.split, self.replicated),
                       out_shardings=(self.replicated, self.replicated), donate_argnums=0)

    def compile_evaluation(self, evaluate: Callable) -> Callable:
        """`evaluate(parameters, batch)`."""
        return jax.jit(evaluate, in_shardings=(self.replicated, self.split), out_shardings=self.replicated)

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
        self.devices, self.replicated, self.shared = alone.devices, alone.replicated, alone.split
        self.split = NamedSharding(alone.split.mesh, PartitionSpec(None, *alone.split.spec))

    def join(self, of_members: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *of_members)

    def join_batches(self, batches: Sequence[Any]) -> Any:
        return jax.tree.map(lambda *leaves: np.stack(leaves), *batches)

    def part(self, joined: Any, member: int) -> Any:
        return jax.tree.map(lambda x: x[member], joined)

    def place_evaluation(self, batch: Any) -> Any:
        return jax.device_put(batch, self.shared)

    def compile_train(self, step: Callable) -> Callable:
        return super().compile_train(jax.vmap(step))

    def compile_evaluation(self, evaluate: Callable) -> Callable:
        return jax.jit(jax.vmap(evaluate, in_axes=(0, None)), in_shardings=(self.replicated, self.shared),
                       out_shardings=self.replicated)


class Pmap(Parallel):
    """Placement by `pmap`: each device runs the body on its part, and `psum` joins the parts.

    The state is passed whole (`in_axes=None`), so a run can change between jit and pmap at any checkpoint.
    """

    def place_batch(self, batch: Any) -> Any:
        return jax.tree.map(lambda x: np.reshape(x, (len(self.devices), -1, *x.shape[1:])), batch)

    def compile_train(self, step: Callable) -> Callable:
        return jax.pmap(functools.partial(step, axis=AXIS), axis_name=AXIS, in_axes=(None, 0, None),
                        out_axes=(None, None), devices=self.devices, donate_argnums=0)

    def together(self) -> Together:
        raise UserError("parallel=pmap trains one run at a time; vectorize needs parallel=jit")

    def compile_evaluation(self, evaluate: Callable) -> Callable:
        return jax.pmap(functools.partial(evaluate, axis=AXIS), axis_name=AXIS, in_axes=(None, 0), out_axes=None,
                        devices=self.devices)


def make_parallel(kind: str, devices: list[jax.Device], batch_size: int, accumulate: int) -> Parallel:
    """"jit" or "pmap" over the devices; UserError where the batch cannot be shared out."""
    return {"jit": Parallel, "pmap": Pmap}[kind](devices, batch_size, accumulate)
