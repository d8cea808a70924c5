"""A labelled task as a question to a run: the same numbers as experiments.fine_tune gives for the run's own seed."""

import pathlib

import pytest

from arch_zoo.config import EvaluationConfig
from arch_zoo.errors import UserError
from arch_zoo.files import write_text_atomic
from arch_zoo.fine_tuning.config import FineTuneConfig
from arch_zoo.fine_tuning.seeds import Experiment, baseline
from arch_zoo.settings import override
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.fine_tuned import FineTuned
from arch_zoo.training.trained import TrainedRun
from experiments.evaluation.tables import remarks
from tests.fine_tuning.made import TOKENIZER, model_of

LEARNING = FineTuneConfig(epochs=1, batch_size=8, length=12)


@pytest.fixture
def asked(tmp_path):
    """(a run with seed 1, the folder of a task whose label is its first word)."""
    for split, count in (("train", 40), ("dev", 12)):
        rows = [f"{n % 2}\tw{40 + n % 2} w{22 + n % 9}" for n in range(count)]
        write_text_atomic(tmp_path / "data" / f"{split}.tsv", "\n".join(["label\tsentence", *rows]) + "\n")
    config, model, parameters = model_of("decoder_only")
    return TrainedRun(tmp_path, config.replace(seed=1), TOKENIZER, model, parameters), str(tmp_path / "data")


def test_it_measures_what_the_program_would(asked):
    run, data = asked
    task = FineTuned(data=data, learning=LEARNING, limit=10)
    outcome = task.run(Subject.of(run))
    program = Experiment.of(run, LEARNING.replace(data=data, test_examples=10))
    expected = program.learn(seed=1)
    assert {name: one.value for name, one in outcome.values.items()} == expected["metrics"]
    assert [sample["resps"][0] for sample in outcome.samples] == expected["predicted"]
    assert outcome.count == 10 and not (run.workdir / "fine_tuning").exists()
    metric, *_ = task.metrics()
    assert (metric.name, metric.chance) == ("matthews", baseline(program.task)["metrics"]["matthews"])


def test_what_is_cut_is_counted_in_the_table(asked):
    run, data = asked
    task = FineTuned(data=data, learning=LEARNING.replace(length=4, epochs=1), limit=10)
    outcome = task.run(Subject.of(run))
    assert (outcome.notes["truncated"], outcome.notes["truncated_in_training"]) == (0, 0)
    for split in ("train", "dev"):
        path = pathlib.Path(data, f"{split}.tsv")
        write_text_atomic(path, path.read_text().replace(" w22", " w22 w23 w24 w25"))
    outcome = task.run(Subject.of(run))
    assert 0 < outcome.notes["truncated"] < 10 < 40 > outcome.notes["truncated_in_training"] > 0
    assert f"{outcome.notes['truncated']} of 10 texts were too long and cut" in remarks(outcome)


def test_it_is_reached_by_dotted_flags(asked):
    _, data = asked
    config = override(EvaluationConfig(), {"tasks": "fine_tuned", "tasks.fine_tuned.data": data,
                                           "tasks.fine_tuned.learning.task": "sst2",
                                           "tasks.fine_tuned.learning.weights": "lora"})
    task, = config.tasks
    assert (task.learning.task.name, task.learning.weights.name) == ("sst2", "lora")
    assert [metric.name for metric in task.metrics()] == ["accuracy"]


@pytest.mark.parametrize(("field", "value"), [("data", "x"), ("seeds", 5), ("test_examples", 3)])
def test_what_would_not_be_read_is_refused(field, value):
    with pytest.raises(UserError, match=f"learning.{field} is not read here; use"):
        FineTuned(learning=LEARNING.replace(**{field: value}))


def test_without_data_it_says_so():
    with pytest.raises(UserError, match="task fine_tuned needs data; give tasks.fine_tuned.data=PATH"):
        FineTuned().require_data()
