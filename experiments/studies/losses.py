"""Held-out losses, each of one objective: arms that were trained by another one have none."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax

from arch_zoo.config import EvaluationConfig
from arch_zoo.objectives.base import Objective, Undefined
from arch_zoo.training.batches import evaluation_batches
from arch_zoo.training.step import make_evaluation_step

if TYPE_CHECKING:  # it imports this
    from experiments.studies.metrics import Evaluated


@dataclasses.dataclass(frozen=True)
class Loss:
    """The mean over the held-out positions that carry loss, corrupted by the options of this objective whatever those
    of the run were. `length`: of the windows, None that of training.
    """

    objective: Objective
    length: int | None

    @property
    def key(self) -> str:
        """The metric's key."""
        return f"loss/{self.objective.name}" + (f"_at_{self.length}" if self.length else "")

    def describe(self) -> dict[str, Any]:
        """What the report says of it."""
        name = self.objective.name.replace("_", " ")
        return {"key": self.key, "better": "lower", "unit": "nats", "chance": None,
                "title": f"Loss of {name}" + (f" at {self.length}" if self.length else ""),
                "about": f"mean over the held-out positions that carry loss under {name}, the same for every arm and "
                         f"seed" + (f", in windows of {self.length} tokens" if self.length else "")}

    def measure(self, run: "Evaluated") -> dict[str, Any]:
        """Of a trained run."""
        config = run.setup.config
        if config.objective.name != self.objective.name:
            raise Undefined(f"it was trained by {config.objective.name}")
        data = config.data.replace(length=self.length or config.data.length)
        batches = evaluation_batches(config.replace(objective=self.objective, data=data), run.setup.data)
        evaluate = jax.jit(make_evaluation_step(self.objective, run.setup.model, run.setup.visibility))
        wanted = min(run.evaluation.loss_windows, batches.windows.count)
        total, weight = 0.0, 0.0
        for i in range(-(-wanted // config.batch_size)):
            found = jax.device_get(evaluate(run.parameters, batches.evaluation_batch_at(i)))
            total, weight = total + float(found["loss_sum"]), weight + float(found["loss_weight"])
        return {"value": total / weight, "count": round(weight)}


def losses(evaluation: EvaluationConfig) -> dict[str, Loss]:
    """{key: loss} of all that are asked for."""
    lengths = evaluation.loss_lengths or (None,)
    found = [Loss(objective, length) for objective in evaluation.losses for length in lengths]
    return {loss.key: loss for loss in found}
