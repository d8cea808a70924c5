"""Which dimension of which array is cut along which axis of the mesh: the one table of it.

Parameters are known by the end of their path and have logical axes, which stand for axes of the mesh: `width` is cut
over `fsdp` (each device holds a part and gathers a block when it comes to it; Rajbhandari et al. 2020, stage 3), what
a block has many of over `tensor` (Shoeybi et al. 2019, section 3). The axis along which blocks are stacked comes before
those in the table and stays whole, as do vectors of the width: they are small, and every device needs them at once.
"""

import collections
import functools
import math
import re
from collections.abc import Mapping
from typing import Any

import jax
from absl import logging
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from arch_zoo.errors import UserError

DATA, FSDP, TENSOR = "data", "fsdp", "tensor"
BATCH = PartitionSpec((DATA, FSDP))  # rows of a batch; `tensor` computes on the same rows

# logical axis -> axis of the mesh; any other logical axis stays whole
MESH_AXES = {"width": FSDP, "embedding": FSDP, "entry": FSDP,
             "vocabulary": TENSOR, "heads": TENSOR, "kv_heads": TENSOR, "mlp": TENSOR}

# (end of a parameter's path, the logical axes of its last dimensions); the first that fits counts
RULES: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"(token|output)_embedding", ("vocabulary", "embedding")),
    (r"position_embedding", ("position", "entry")),
    (r"type_embedding", ("type", "entry")),
    (r"logits_bias", ("vocabulary",)),
    (r"attention/query/kernel", ("width", "heads", "head_dim")),
    (r"attention/query/bias", ("heads", "head_dim")),
    (r"attention/(key|value)/kernel", ("width", "kv_heads", "head_dim")),
    (r"attention/(key|value)/bias", ("kv_heads", "head_dim")),
    (r"attention/out/kernel", ("heads", "head_dim", "width")),
    (r"attention/relative_kernel", ("width", "heads", "head_dim")),
    (r"attention/(content|distance)_bias", ("heads", "head_dim")),
    (r"relative_bias", ("bucket", "heads")),
    (r"feed_forward/(up|gate)/kernel", ("width", "mlp")),
    (r"feed_forward/(up|gate)/bias", ("mlp",)),
    (r"feed_forward/down/kernel", ("mlp", "width")),
    (r"(entry|generator)/projection/kernel", ("embedding", "width")),
    (r"head/(projection|transform)/kernel", ("width", "embedding")),
    (r"(discriminator/transform|sentence_head/pooler)/kernel", ("width", "width")),
    (r"(discriminator/replaced|sentence_head/classes)/kernel", ("width", "class")),
    (r"(norm|_norm)/(scale|bias)|(out|down|projection|transform|pooler|replaced|classes)/bias", ("vector",)),
)


def logical_axes(path: str) -> tuple[str, ...] | None:
    """Those of the parameter at "a/b/c", of its last dimensions; None for one that no rule knows."""
    return next((axes for pattern, axes in RULES if re.search(f"(^|/|_)({pattern})$", path)), None)


def shardings(tree: Any, mesh: Mesh) -> Any:
    """Where each array of a state, or of its parameters, lies; of the same structure, from shapes alone.

    Optimizer states follow the parameter whose path they have: arrays of its shape are cut like it, and of those that
    lack one of its dimensions (Adafactor's) the others are. What has no such path is whole on each device.
    """
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    whole: dict[str, tuple[int, ...]] = {}  # the parameter's shape: the largest of the arrays with its path
    for path, leaf in leaves:
        name = _name(path)
        if math.prod(leaf.shape) >= math.prod(whole.get(name, ())):
            whole[name] = tuple(leaf.shape)
    specs = {name: _spec(name, shape, dict(mesh.shape)) for name, shape in whole.items() if name}
    _check_axes_are_used(specs, mesh)

    def of(path, leaf):
        name = _name(path)
        spec = _following(tuple(leaf.shape), whole[name], specs[name]) if name else PartitionSpec()
        return NamedSharding(mesh, spec)

    return jax.tree_util.tree_map_with_path(of, tree)


def _name(path: tuple) -> str:
    """The part of a path that a parameter and what optimizers keep of it have in common."""
    return "/".join(key.key for key in path if isinstance(key, jax.tree_util.DictKey))


def _spec(name: str, shape: tuple[int, ...], sizes: Mapping[str, int]) -> PartitionSpec:
    """Each axis of the mesh cuts the first dimension that is its own and that it divides."""
    axes = logical_axes(name)
    if axes is None or len(axes) > len(shape):
        if sizes[FSDP] * sizes[TENSOR] > 1:
            _say_once(f"{name} {shape}: no rule of training/sharding.py knows it; it stays whole on each device")
        return PartitionSpec()
    cut: list[str | None] = [None] * (len(shape) - len(axes))
    for logical, size in zip(axes, shape[len(cut):], strict=True):
        axis = MESH_AXES.get(logical)
        free = axis is not None and sizes[axis] > 1 and axis not in cut
        if free and size % sizes[axis]:
            _say_once(f"{logical}={size} is not divisible by {axis}:{sizes[axis]}; it stays whole on each device")
        cut.append(axis if free and size % sizes[axis] == 0 else None)
    return PartitionSpec(*cut)


def _following(shape: tuple[int, ...], whole: tuple[int, ...], spec: PartitionSpec) -> PartitionSpec:
    """How to cut an array that belongs to a parameter of shape `whole`, which is cut by `spec`."""
    cut = [*spec, *[None] * (len(whole) - len(spec))]
    if shape == whole:
        return PartitionSpec(*cut)
    lacking = (i for i in range(len(whole)) if shape == whole[:i] + whole[i + 1:])
    i = next(lacking, None)
    return PartitionSpec() if i is None else PartitionSpec(*cut[:i], *cut[i + 1:])


def _check_axes_are_used(specs: Mapping[str, PartitionSpec], mesh: Mesh) -> None:
    """UserError where an axis of the mesh cuts nothing: its devices would all do the same."""
    used = collections.Counter(axis for spec in specs.values() for axis in spec)
    for axis in (FSDP, TENSOR):
        if specs and mesh.shape[axis] > 1 and not used[axis]:
            logical = ", ".join(name for name, where in MESH_AXES.items() if where == axis)
            raise UserError(f"mesh: {axis}:{mesh.shape[axis]} divides none of this model's {logical}; use a size that "
                            f"divides one")


@functools.cache
def _say_once(message: str) -> None:
    logging.info("%s", message)
