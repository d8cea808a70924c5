"""What is fine-tuned on what: the options of experiments.fine_tune."""

import dataclasses
import hashlib
import re
from typing import Any

from arch_zoo.config import FineTuningConfig
from arch_zoo.registry import ANSWERS, LABELLED_TASKS
from arch_zoo.settings import setting, to_dict
from arch_zoo.settings_view import flatten

_LONGEST_NAME = 120  # characters


@dataclasses.dataclass(frozen=True)
class FineTuneConfig(FineTuningConfig):
    """A task, its data, how a model answers, and how it learns to; other defaults than a study has, for whole tasks."""

    task: Any = setting("cola", "the task; tsv: any file by the names of its columns", variant=LABELLED_TASKS)
    data: str | None = setting(None, "a folder with the task's files, TRAIN,DEV, or tfds:NAME, such as tfds:glue/cola")
    seeds: int = setting(3, "how often it is learnt, each time with another order, dropout and new weights", low=1)
    answer: Any = setting("head", "a linear head on pooled states, or the label in words", variant=ANSWERS)
    examples: int | None = setting(None, "training examples at most; none: all", low=1)
    test_examples: int | None = setting(None, "held-out examples at most; none: all", low=1)
    epochs: int = setting(3, "passes over the training examples", low=1)
    length: int = setting(128, "tokens of a text or a pair, the rest is cut off", low=4)
    learning_rate: float = setting(3e-4, "peak of AdamW's schedule", low=0)

    @property
    def title(self) -> str:
        """The task with the options that are not the defaults, as a name for a directory; not its data or seeds."""
        ordinary = flatten(FineTuneConfig(task=type(self.task)(), answer=type(self.answer)(),
                                          weights=type(self.weights)()))
        names = {field: getattr(self, field).name for field in ("answer", "weights")}
        chosen = {field: name for field, name in names.items() if name != getattr(FineTuneConfig(), field).name}
        chosen |= {path: value for path, value in flatten(self).items()
                   if path not in ("data", "seeds") and value != ordinary[path]}
        words = [self.task.name, *(f"{path}={_short(value)}" for path, value in sorted(chosen.items()))]
        text = re.sub(r"[^\w.,=+-]", "_", ",".join(words))
        if len(text) <= _LONGEST_NAME:
            return text
        return f"{text[:_LONGEST_NAME - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

    def of_one_seed(self) -> dict[str, Any]:
        """What a seed's result depends on, as JSON; the examples themselves apart."""
        return {name: value for name, value in to_dict(self).items() if name not in ("seeds", "data")}


def _short(value: Any) -> str:
    return "+".join(map(str, value)) if isinstance(value, list) else f"{value:g}" if isinstance(value, float) else \
        str(value)
