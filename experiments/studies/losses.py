"""Held-out losses, each of one objective: arms that were trained by another one have none."""

import dataclasses
from typing import TYPE_CHECKING, Any

import jax

from arch_zoo.config import EvaluationConfig
from arch_zoo.objectives.base import Objective
from arch_zoo.training.batches import evaluation_batches
from arch_zoo.training.step import make_evaluation_step

if TYPE_CHECKING:  # it imports this
    from experiments.studies.metrics import Evaluated


@dataclasses.dataclass(frozen=True)
class Loss:
    """The mean over the held-out positions that carry loss, corrupted by the options of this objective whatever those
    of the run were; at several lengths of window, the growth from the first to the last as well.
    """

    objective: Objective
    lengths: tuple[int, ...]  # of the windows; none: that of training

    @property
    def name(self) -> str:
        """Of the group of metrics, and of the metric where there is one length."""
        return f"loss/{self.objective.name}"

    def describe(self) -> list[dict[str, Any]]:
        """What the report says of each."""
        name = self.objective.name.replace("_", " ")
        about = f"mean over the held-out positions that carry loss under {name}, the same for every arm and seed"
        kind = {"better": "lower", "unit": "nats", "chance": None}
        if not self.lengths:
            return [{"key": self.name, "title": f"Loss of {name}", "about": about, **kind}]
        found = [{"key": f"{self.name}_at_{length}", "title": f"Loss of {name} at {length}",
                  "about": f"{about}, in windows of {length} tokens", **kind} for length in self.lengths]
        first, last = self.lengths[0], self.lengths[-1]
        if first == last:
            return found
        return [*found, {"key": f"{self.name}_growth", "title": f"Growth of the loss of {name}",
                         "about": f"at {last} less at {first} tokens", **kind}]

    def measure(self, run: "Evaluated") -> dict[str, dict[str, Any]]:
        """{key: entry} of a trained run."""
        keys = [metric["key"] for metric in self.describe()]
        trained_by = run.setup.config.objective.name
        if trained_by != self.objective.name:
            return {key: {"value": None, "reason": f"it was trained by {trained_by}"} for key in keys}
        found = [self._at(length, run) for length in self.lengths or (run.setup.config.data.length,)]
        if len(keys) > len(found):
            found.append({"value": found[-1]["value"] - found[0]["value"], "count": found[-1]["count"]})
        return dict(zip(keys, found, strict=True))

    def _at(self, length: int, run: "Evaluated") -> dict[str, Any]:
        config = run.setup.config
        data = config.data.replace(length=length)
        batches = evaluation_batches(config.replace(objective=self.objective, data=data), run.setup.data)
        evaluate = jax.jit(make_evaluation_step(self.objective, run.setup.model, run.setup.visibility))
        wanted = min(run.evaluation.loss_windows, batches.windows.count)
        total, weight = 0.0, 0.0
        for i in range(-(-wanted // config.batch_size)):
            found = jax.device_get(evaluate(run.parameters, batches.evaluation_batch_at(i)))
            total, weight = total + float(found["loss_sum"]), weight + float(found["loss_weight"])
        return {"value": total / weight, "count": round(weight)}


def losses(evaluation: EvaluationConfig) -> dict[str, Loss]:
    """{name: loss} of all that are asked for."""
    found = [Loss(objective, evaluation.loss_lengths) for objective in evaluation.losses]
    return {loss.name: loss for loss in found}
