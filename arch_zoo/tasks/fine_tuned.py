"""A labelled task that is learnt first: what a model is worth once it has been fine-tuned."""

import dataclasses

from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.config import FineTuneConfig
from arch_zoo.fine_tuning.seeds import Experiment, baseline, labelled_task
from arch_zoo.registry import TASKS
from arch_zoo.settings import setting
from arch_zoo.settings_view import flatten
from arch_zoo.tasks.base import Measured, Metric, Outcome, Subject, Task


@TASKS.register("fine_tuned")
@dataclasses.dataclass(frozen=True)
class FineTuned(Task):
    """As experiments.fine_tune learns it, once, with the seed of the run that is asked; the run itself stays as it is.

    `data` is what --data is there, `limit` the number of held-out examples.
    """

    learning: FineTuneConfig = setting(FineTuneConfig, "the task and how it is learnt")

    def check(self) -> None:
        here = {"data": f"tasks.{self.name}.data", "test_examples": f"tasks.{self.name}.limit",
                "seeds": "the seeds of the runs"}
        for field, instead in here.items():
            if getattr(self.learning, field) != getattr(FineTuneConfig(), field):
                raise UserError(f"task {self.name}: learning.{field} is not read here; use {instead}")

    def require_data(self) -> None:
        self._read()

    def _read(self):
        if self.data is None:
            raise UserError(f"task {self.name} needs data; give tasks.{self.name}.data=PATH: a folder with the task's "
                            f"files, TRAIN,DEV, or tfds:NAME")
        return labelled_task(self._config())

    def _config(self) -> FineTuneConfig:
        return self.learning.replace(data=self.data, test_examples=self.limit)

    def metrics(self) -> tuple[Metric, ...]:
        task = self._read()
        always, ordinary = baseline(task), flatten(type(self.learning.answer)())
        asked = ", ".join(f"{option}={value}" for option, value in flatten(self.learning.answer).items()
                          if value != ordinary[option])
        title = f"{task.name} ({asked})" if asked else task.name
        return tuple(Metric(name, f"{title}, {name}", "higher", name, always["metrics"][name],
                            f"{name} on {task.name} after fine-tuning, {len(task.dev):,} held-out examples; chance is "
                            f"{always['how']}") for name in task.metrics)

    def run(self, subject: Subject) -> Outcome:
        experiment = Experiment.of(subject.run, self._config())
        found, dev = experiment.learn(subject.run.config.seed), experiment.task.dev
        values = {name: Measured(found["metrics"][name], found["standard_errors"][name])
                  for name in experiment.task.metrics}
        samples = [{"doc_id": n, "doc": {"texts": example.texts}, "target": example.answer, "resps": [answer]}
                   for n, (example, answer) in enumerate(zip(dev, found["predicted"], strict=True))]
        return Outcome(values, len(dev), f"{found['how']}; {found['steps']:,} steps", samples,
                       notes={"truncated": found["cut"]["dev"], "truncated_in_training": found["cut"]["train"]})
