"""Held-out losses, each of one objective: arms that were trained by another one have none."""

from typing import TYPE_CHECKING, Any

import jax

from arch_zoo.objectives.base import Objective, Undefined
from arch_zoo.training.batches import evaluation_batches
from arch_zoo.training.step import make_evaluation_step

if TYPE_CHECKING:  # it imports this
    from experiments.studies.metrics import Evaluated


def key(objective: Objective) -> str:
    """The metric's key."""
    return f"loss/{objective.name}"


def describe(objective: Objective) -> dict[str, Any]:
    """What the report says of it."""
    return {"key": key(objective), "title": f"Loss of {objective.name.replace('_', ' ')}", "better": "lower",
            "unit": "nats", "chance": None,
            "about": f"mean over the held-out positions that carry loss under {objective.name}, the same for every arm "
                     "and seed"}


def measure(objective: Objective, run: "Evaluated") -> dict[str, Any]:
    """The mean over the run's held-out windows, corrupted by `objective`'s options whatever the run's own were."""
    config = run.setup.config
    if config.objective.name != objective.name:
        raise Undefined(f"it was trained by {config.objective.name}")
    batches = evaluation_batches(config.replace(objective=objective), run.setup.data)
    evaluate = jax.jit(make_evaluation_step(objective, run.setup.model, run.setup.visibility))
    wanted = -(-run.evaluation.loss_windows // config.batch_size)
    total, weight = 0.0, 0.0
    for i in range(min(wanted, -(-batches.windows.count // config.batch_size))):
        found = jax.device_get(evaluate(run.parameters, batches.evaluation_batch_at(i)))
        total, weight = total + float(found["loss_sum"]), weight + float(found["loss_weight"])
    return {"value": total / weight, "count": round(weight)}
