"""Several processes that train one model: on one machine each by itself, or one on each of several hosts.

All run the same program on the same config. Each has its own devices and makes its own rows of a batch; the first one
writes what a run writes down, and checkpoints are written by all, into a directory that all see.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from absl import logging

from arch_zoo.errors import UserError

_SECONDS_TO_MEET = 120


def join(coordinator: str, count: int, number: int) -> None:
    """Meet the other processes at `coordinator`, host:port of process 0; UserError where they do not come.

    It has to be called before anything else asks for devices.
    """
    try:
        jax.distributed.initialize(coordinator, num_processes=count, process_id=number,
                                   initialization_timeout=_SECONDS_TO_MEET)
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines()[0][:160]
        raise UserError(f"process {number} of {count} did not meet the others at {coordinator} ({reason}); is process "
                        f"0 running there, and the port free?") from None
    if not is_first():
        logging.set_verbosity(logging.WARNING)  # the first one tells how far they are


def is_first() -> bool:
    """Whether this is the process that writes; so is one by itself."""
    return jax.process_index() == 0


def require_one(option: str) -> None:
    """UserError where there are several processes."""
    if jax.process_count() > 1:
        raise UserError(f"{option} is for one process, and there are {jax.process_count()}")


def told_by_first(action: Callable[[], Any]) -> Any:
    """What `action()` gives in the first process, as JSON has it; its UserError is raised in all of them."""
    if jax.process_count() == 1:
        return action()
    found: dict[str, Any] = {}
    if is_first():
        try:
            found = {"value": action()}
        except UserError as error:
            found = {"error": str(error)}
    found = json.loads(_broadcast(json.dumps(found)))
    if "error" in found:
        raise UserError(found["error"])
    return found["value"]


def any_says(mine: bool, now: bool) -> bool:
    """Whether any process says so; several ask each other only when `now`, and all have to be asked at once."""
    if jax.process_count() == 1:
        return mine
    return now and bool(_multihost().process_allgather(np.asarray(mine)).any())


def gathered(array: jax.Array) -> np.ndarray:
    """All of an array that may lie in several processes; all have to ask for it."""
    if getattr(array, "is_fully_addressable", True) or array.is_fully_replicated:
        return jax.device_get(array)
    return _multihost().process_allgather(array, tiled=True)


def _broadcast(text: str) -> str:
    """The first process's text, in all of them."""
    size = int(_multihost().broadcast_one_to_all(np.asarray(len(text.encode()), np.int32)))
    content = np.zeros(size, np.uint8)
    if is_first():
        content[:] = np.frombuffer(text.encode(), np.uint8)
    return bytes(np.asarray(_multihost().broadcast_one_to_all(content))).decode()


def _multihost():
    from jax.experimental import multihost_utils  # slow to import, and one process needs none of it

    return multihost_utils
