"""Tasks as values, where their data is looked for, and what is said of files that are not right."""

import dataclasses

import pytest

from arch_zoo.config import EvaluationConfig
from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS
from arch_zoo.settings import override, setting, to_dict
from arch_zoo.tasks.base import Metric, Outcome, Task, labels, mean_of
from arch_zoo.tasks.blimp import Blimp
from arch_zoo.tasks.cloze import Cloze
from arch_zoo.tasks.lambada import Lambada
from arch_zoo.tasks.multiple_choice import MultipleChoice
from arch_zoo.tasks.perplexity import Perplexity
from tests.evaluation.toy_text import lines
from tests.tasks.asking import subject_of

CHOICES = {"query": "w30 w31", "choices": ["w40", "w22 w23", "w24 w25 w26"], "answer": 1}

# --- what is wrong with a file ------------------------------------------------------------------------------------

BAD = [
    (Blimp, '{"sentence_good": "w30"}\n', r"bad.jsonl:1: not a minimal pair .*sentence_bad"),
    (Blimp, '{"sentence_good": "w30", "sentence_bad": " "}\n', r"bad.jsonl:1: not a minimal pair.* and not empty"),
    (Lambada, "", r"bad.jsonl: empty"), (Lambada, '"alone"\n', r"bad.jsonl:1: a passage needs two words at least"),
    (Lambada, '"w30 w31"\n{"txt": "w30 w31"}\n', r"bad.jsonl:2: has no field 'text'. Did you mean 'txt'\? Here are"),
    (Lambada, "[1]\n", r"bad.jsonl:1: expected an object with 'text'"),
    (Lambada, '{"text": 3}\n', r"bad.jsonl:1: text must be text, got '3'"),
    (Lambada, '"w30 w31"\n{\n', r"bad.jsonl:2: not JSON"),
    (MultipleChoice, '{"query": "w30", "choices": ["w31", "w32"]}\n', r"bad.jsonl:1: needs the fields 'choices' and"),
    (MultipleChoice, '{"choices": ["w31", "w32"], "answer": 0}\n', r"bad.jsonl:1: has no field 'query' or 'context'"),
    (MultipleChoice, '{"query": "w30", "choices": ["w31"], "answer": 0}\n', r"choices must be two texts or more"),
    (MultipleChoice, '{"query": "w30", "choices": ["w31", "w32"], "answer": 2}\n', r"answer 2 is neither one of the"),
    (MultipleChoice, "\n\n", r"bad.jsonl: empty"),
    (Cloze, '{"text": "w30", "choices": ["w31", "w32"], "answer": 0}\n', r"the blank 'XXXXX' must stand in the text"),
    (Perplexity, " \n", r"bad.jsonl: empty, or of one token in all"),
    (Perplexity, "w30\0", r"bad.jsonl: not text: there is a zero byte"),
]


@pytest.mark.parametrize(("task", "content", "message"), BAD, ids=range(len(BAD)))
def test_a_bad_file_is_one_clear_line(tmp_path, task, content, message):
    (tmp_path / "bad.jsonl").write_text(content)
    with pytest.raises(UserError, match=message) as error:
        task(data=str(tmp_path / "bad.jsonl")).run(subject_of("decoder_only", "causal_lm"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("options", "message"), [
    ({"shots": 2}, "shots=2 needs examples; give tasks.multiple_choice.train=FILE"),
    ({"shots": 2, "train": "T"}, "t.jsonl: has 2 examples; shots=2 needs one more than that"),
    ({"shots": 2, "train": "nowhere.jsonl"}, "task multiple_choice: nowhere.jsonl: no such file")])
def test_a_prompt_without_examples_is_refused(tmp_path, options, message):
    train = lines(tmp_path / "t.jsonl", CHOICES, CHOICES)
    options = options | ({"train": train} if options.get("train") == "T" else {})
    with pytest.raises(UserError, match=message):
        MultipleChoice(data=train, **options).run(subject_of("decoder_only", "causal_lm"))


# --- tasks as values ---------------------------------------------------------------------------------------------

def test_data_is_found_by_name(tmp_path):
    (tmp_path / "blimp").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "lambada_test.jsonl").write_text('"a b"')
    assert Blimp().found_in(tmp_path).path == Blimp().found_in(tmp_path / "blimp").path == tmp_path / "blimp"
    assert Lambada().found_in(tmp_path).path == tmp_path / "text" / "lambada_test.jsonl"
    assert Lambada(data="else").found_in(tmp_path).data == "else"
    with pytest.raises(UserError, match="has no cloze.jsonl for task cloze; give tasks.cloze.data=PATH"):
        Cloze().found_in(tmp_path)
    with pytest.raises(UserError, match="task blimp needs data; give --data=FOLDER with blimp in it, or tasks.blimp.d"):
        _ = Blimp().path


def test_tasks_are_told_apart_by_number():
    assert labels([Blimp(), Perplexity(), Perplexity(stride=4)]) == ["blimp", "perplexity.0", "perplexity.1"]


def test_every_task_is_a_value():
    for name in TASKS.names():
        task = TASKS.get(name)()
        assert isinstance(task, Task) and to_dict(task)["name"] == name
        assert task.replace(limit=3).limit == 3
        assert type(task).__doc__


def test_a_task_of_ones_own_needs_a_class_and_nothing_else():
    """One that asks for no likelihood and reads no file: what a subject offers is all it needs."""
    @TASKS.register("toy_counting")
    @dataclasses.dataclass(frozen=True)
    class Counting(Task):
        """How many ids of the vocabulary are text."""

        above: int = setting(0, "ids above this one")

        def metrics(self):
            return (Metric("share", "Share of text", "higher", "share", None, "of the ids"),)

        def run(self, subject):
            ids = range(self.above, subject.vocabulary.size)
            return Outcome({"share": mean_of([not subject.vocabulary.is_special[i] for i in ids])}, len(ids), "counted")

    try:
        task, = override(EvaluationConfig(), {"tasks": "toy_counting", "tasks.toy_counting.above": "21"}).tasks
        task.require_data()
        outcome = task.run(subject_of("decoder_only", "causal_lm"))
        assert outcome.values["share"].value == 1.0 and outcome.count == 43
    finally:
        TASKS.unregister("toy_counting")
