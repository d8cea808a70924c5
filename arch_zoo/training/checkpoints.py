"""Checkpoints: Orbax, written in the background; the latest two and the best are kept, damaged ones passed over."""

import copy
import json
import operator
import pathlib
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from absl import logging
from orbax.checkpoint.checkpoint_managers import preservation_policy

from arch_zoo.errors import UserError
from arch_zoo.training import processes

_METRIC = "eval/loss"


class Checkpoints:
    """The checkpoints of one run, by step.

    A directory appears under its final name only when it is whole, so a kill in the middle of saving leaves the
    previous checkpoint as the latest. Contents are held against a checksum when they are read.
    """

    def __init__(self, directory: pathlib.Path):
        self.directory = directory
        loss_of = operator.itemgetter(_METRIC)
        policy = preservation_policy.AnyPreservationPolicy([
            preservation_policy.LatestN(2),  # the second is there to fall back on
            preservation_policy.BestN(n=1, get_metric_fn=loss_of, reverse=True,
                                      keep_checkpoints_without_metrics=False)])  # half deleted: the rest goes too
        options = ocp.CheckpointManagerOptions(preservation_policy=policy, create=True, enable_async_checkpointing=True,
                                               best_fn=loss_of, best_mode="min")  # best_fn: else no metric is written
        self._manager = ocp.CheckpointManager(directory.absolute(), options=options)

    def save(self, step: int, state: Any, notes: dict[str, Any], evaluation_loss: float) -> None:
        """Begin to save a state, with JSON-ready notes, under the number of steps done; a save before it ends first."""
        # The writer reads both while training goes on: the next step reuses the state's memory, and lists grow.
        state, notes = jax.tree.map(jnp.copy, state), copy.deepcopy(notes)
        notes["checksum"] = checksum(state)
        self._manager.save(step, args=ocp.args.Composite(state=ocp.args.StandardSave(state),
                                                         notes=ocp.args.JsonSave(notes)),
                           metrics={_METRIC: evaluation_loss})

    def steps(self) -> list[int]:
        """Steps of the whole checkpoints there are, ascending."""
        return sorted(self._manager.all_steps())

    def best_step(self) -> int:
        """The step with the lowest evaluation loss; UserError where there is no checkpoint."""
        metrics = {step: self._manager.metrics(step) for step in self.steps()}
        losses = {step: values[_METRIC] for step, values in metrics.items() if values}  # none: half deleted
        if not losses:
            raise UserError(f"{self.directory}: no checkpoint")
        return min(losses, key=losses.get)

    def restore_latest(self, abstract_state: Any) -> tuple[Any, dict[str, Any]] | None:
        """(state, notes) of the newest readable checkpoint, or None where there is none.

        A damaged one is named in the log, deleted, and the one before it is taken; UserError where all are damaged.
        """
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.restore(step, abstract_state)
            except UserError as error:
                logging.warning("%s; falling back to the checkpoint before it", error)
                self._manager.delete(step)
        if steps:
            raise UserError(f"{self.directory}: every checkpoint is damaged; delete the run's directory to start again")
        return None

    def restore(self, step: int, abstract_state: Any) -> tuple[Any, dict[str, Any]]:
        """(state, notes) saved at `step`, placed as `abstract_state` says; UserError where it is damaged."""
        where = self.directory / str(step)
        try:
            restored = self._manager.restore(step, args=ocp.args.Composite(
                state=ocp.args.StandardRestore(abstract_state), notes=ocp.args.JsonRestore()))
        except (ValueError, KeyError, OSError, json.JSONDecodeError) as error:
            reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
            raise UserError(f"{where}: damaged checkpoint ({reason})") from None
        if checksum(restored["state"]) != restored["notes"]["checksum"]:
            raise UserError(f"{where}: damaged checkpoint (its content does not match its checksum)")
        return restored["state"], restored["notes"]

    def wait(self) -> None:
        """Until everything begun is on disk."""
        self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and release the background threads."""
        self._manager.close()


def read_parameters(directory: pathlib.Path) -> dict[str, Any] | None:
    """The parameters, alone and as NumPy arrays, of the newest whole checkpoint in a run's directory of checkpoints.

    They are checked for being there, not against the checksum, which is of the whole state. None where there is none.
    """
    steps = sorted((int(path.name) for path in directory.glob("*") if path.name.isdigit()), reverse=True)
    for step in steps:
        where = directory.absolute() / str(step) / "state"  # Orbax reads no relative path
        try:
            kept = ocp.PyTreeCheckpointHandler().metadata(where)
            wanted = {"parameters": jax.tree.map(lambda m: jax.ShapeDtypeStruct(m.shape, m.dtype), kept["parameters"])}
            as_numpy = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), wanted)
            restore = ocp.args.PyTreeRestore(item=wanted, restore_args=as_numpy, partial_restore=True)
            return ocp.PyTreeCheckpointer().restore(where, args=restore)["parameters"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            logging.warning("%s: damaged checkpoint (%s); taking the one before it", where.parent,
                            str(error).strip().splitlines()[0][:160])
    if steps:
        raise UserError(f"{directory}: every checkpoint is damaged")
    return None


def checksum(state: Any) -> int:
    """CRC-32 over all arrays of a state, however they lie on devices; one at a time is gathered on each host."""
    total = 0
    for leaf in jax.tree.leaves(state):
        total = zlib.crc32(np.ascontiguousarray(processes.gathered(leaf)).view(np.uint8).data, total)
    return total
