"""Several seeds: each is kept when it is done, nothing is learnt twice, and what changed is learnt again."""

import dataclasses
import json

import numpy as np
import pytest

from arch_zoo.analysis.statistics import mean_interval
from arch_zoo.data.labelled.task import Kind
from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.fine_tuning import seeds as seeds_module
from arch_zoo.fine_tuning.config import FineTuneConfig
from arch_zoo.fine_tuning.learning import Learner
from arch_zoo.fine_tuning.seeds import Experiment, baseline
from arch_zoo.settings import override
from arch_zoo.training.trained import TrainedRun
from tests.fine_tuning.made import TOKENIZER, model_of, task_of

SMALL = FineTuneConfig(epochs=1, batch_size=8, length=12, seeds=2, data="made up")


@pytest.fixture
def learnt(monkeypatch):
    """The seeds that were learnt, in order; what is learnt is a head that the seed draws."""
    found = []

    def noted(self, parameters, seed, label=None):
        found.append(seed)
        rng = np.random.default_rng(seed)
        head = {name: rng.normal(size=leaf.shape).astype(np.float32) for name, leaf in self._question.head().items()}
        return {"model": parameters, "head": head}

    monkeypatch.setattr(Learner, "learn", noted)
    return found


def experiment(workdir, config=SMALL, kind=Kind.SENTENCE, task=None, parameters=None) -> Experiment:
    run, model, own = model_of("decoder_only")
    trained = TrainedRun(workdir, run, TOKENIZER, model, parameters or own)
    return Experiment(trained, config, task or task_of(kind, 16))


def test_results_say_what_was_measured_and_samples_what_was_answered(tmp_path):
    made = experiment(tmp_path)
    results = made.results()
    assert made.folder == tmp_path / "fine_tuning" / "cola,batch_size=8,epochs=1,length=12"
    assert read_json(made.folder / "results.json") == json.loads(json.dumps(results))
    kept = [read_json(made.folder / f"seed_{seed}.json") for seed in range(2)]
    answers = [example.answer for example in made.task.dev]
    for seed in kept:
        assert seed["metrics"]["accuracy"] == np.mean(np.array(seed["predicted"]) == answers)
    found = results["metrics"]["accuracy"]
    interval = mean_interval([seed["metrics"]["accuracy"] for seed in kept])
    assert (found["mean"], found["low"], found["high"]) == (interval.mean, interval.low, interval.high)
    assert found["standard_error"] == np.mean([seed["standard_errors"]["accuracy"] for seed in kept])
    assert results["examples"] == {"train": 16, "dev": 11} and results["git_hash"]
    assert results["n-shot"] == {"toy": 0} and results["versions"] == {"toy": seeds_module.VERSION}
    assert results["results"]["toy"] == {"alias": "toy", "accuracy,none": found["mean"],
                                         "accuracy_stderr,none": found["standard_error"]}
    assert results["config"]["answer"]["name"] == "head" and results["n-samples"]["toy"]["effective"] == 11
    lines = [json.loads(line) for line in (made.folder / "samples.jsonl").read_text().splitlines()]
    assert [line["predicted"] for line in lines] == [[made.task.labels[seed["predicted"][i]] for seed in kept]
                                                     for i in range(11)]
    assert [line["texts"] for line in lines] == [list(example.texts) for example in made.task.dev]


def test_a_second_start_learns_nothing_and_a_further_seed_only_itself(tmp_path, learnt):
    first = experiment(tmp_path).results()
    assert learnt == [0, 1]
    assert experiment(tmp_path).results() == first and learnt == [0, 1]
    assert experiment(tmp_path, SMALL.replace(seeds=3)).results()["metrics"]["accuracy"]["seeds"][:2] == \
        first["metrics"]["accuracy"]["seeds"]
    assert learnt == [0, 1, 2]


def test_a_kill_loses_the_seed_that_runs_and_no_other(tmp_path, learnt, monkeypatch):
    def killed(self, seed):
        if seed == 1:
            raise KeyboardInterrupt
        return of_seed(self, seed)

    of_seed = Experiment.of_seed
    with monkeypatch.context() as patch:
        patch.setattr(Experiment, "of_seed", killed)
        with pytest.raises(KeyboardInterrupt):
            experiment(tmp_path).results()
    assert not (experiment(tmp_path).folder / "results.json").exists()
    experiment(tmp_path).results()
    assert learnt == [0, 1]


def test_other_weights_examples_or_versions_are_learnt_again(tmp_path, learnt, monkeypatch):
    config = SMALL.replace(seeds=1)
    experiment(tmp_path, config).results()
    _, _, own = model_of("decoder_only")
    moved = {**own, "embedding": {"token_embedding": own["embedding"]["token_embedding"] + 0.01}}
    experiment(tmp_path, config, parameters=moved).results()
    assert learnt == [0, 0]
    task = task_of(Kind.SENTENCE, 16)
    other = dataclasses.replace(task, train=task.train[::-1])
    experiment(tmp_path, config, task=other, parameters=moved).results()
    assert learnt == [0, 0, 0]
    monkeypatch.setattr(seeds_module, "VERSION", 2)
    experiment(tmp_path, config, task=other, parameters=moved).results()
    assert learnt == [0] * 4


@pytest.mark.parametrize(("changes", "title"), [
    ({}, "cola"), ({"data": "x", "seeds": 5}, "cola"), ({"task": "sst2", "epochs": 5}, "sst2,epochs=5"),
    ({"weights": "lora", "weights.rank": 4}, "cola,weights=lora,weights.rank=4"),
    ({"transfer": "scratch", "answer.pool": "mean"}, "cola,answer.pool=mean,transfer=scratch"),
    ({"task": "tsv", "task.text": "a/b", "task.label": "c"}, "tsv,task.label=c,task.text=a_b"),
    ({"learning_rate": 1e-5, "weights.gradual": True}, "cola,learning_rate=1e-05,weights.gradual=True"),
])
def test_each_configuration_has_a_folder_that_says_what_it_is(changes, title):
    assert override(FineTuneConfig(), changes).title == title


def test_long_titles_stay_apart():
    titles = {override(FineTuneConfig(), {"task": "tsv", "task.text": "x" * 200 + end}).title for end in "ab"}
    assert len(titles) == 2 and max(map(len, titles)) <= 120


def test_the_baseline_answers_alike_and_knows_only_the_training_examples():
    task = task_of(Kind.SENTENCE, 16)
    answers = [example.answer for example in task.train]
    commonest = max(set(answers), key=answers.count)
    found = baseline(task)
    assert found["how"] == f"always {task.labels[commonest]}, the commonest in training"
    assert found["metrics"]["accuracy"] == np.mean([example.answer == commonest for example in task.dev])
    values = baseline(task_of(Kind.SIMILARITY, 16, numbers=True))
    assert values["metrics"] == {"pearson": 0.0, "spearman": 0.0} and "the mean in training" in values["how"]
    assert "always choice" in baseline(task_of(Kind.CHOICE, 16))["how"]


def test_fewer_examples_are_always_the_same_and_not_the_first(tmp_path):
    rows = "sentence\tlabel\n" + "".join(f"text {i}\t{i % 2}\n" for i in range(100))
    (tmp_path / "train.tsv").write_text(rows)
    (tmp_path / "dev.tsv").write_text(rows)
    run, model, parameters = model_of("decoder_only")
    trained = TrainedRun(tmp_path, run, TOKENIZER, model, parameters)
    config = FineTuneConfig(task="sst2", data=str(tmp_path), examples=10, test_examples=20)
    first, again = (Experiment.of(trained, config).task for _ in range(2))
    assert first == again and len(first.train) == 10 and len(first.dev) == 20
    assert first.train != Experiment.of(trained, config.replace(examples=None)).task.train[:10]
    with pytest.raises(UserError, match="--data=… is required"):
        Experiment.of(trained, config.replace(data=None))


def test_texts_too_long_for_the_model_end_in_one_line(tmp_path):
    run, model, parameters = model_of("decoder_only", model__position="learned", model__max_len=9, data__length=8)
    made = Experiment(TrainedRun(tmp_path, run, TOKENIZER, model, parameters), SMALL, task_of(Kind.SENTENCE))
    with pytest.raises(UserError, match="length=12: a stream of 12 tokens is longer than model.max_len=9; give a sh"):
        made.results()
