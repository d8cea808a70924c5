"""Tasks read from files of every layout, the same examples from each; one line for what is wrong with a file."""

import json
import pathlib

import numpy as np
import pytest

from arch_zoo.data.labelled.columns import Columns
from arch_zoo.data.labelled.glue import Mnli
from arch_zoo.data.labelled.reading import read_task
from arch_zoo.data.labelled.task import Example, Kind
from arch_zoo.errors import UserError
from arch_zoo.registry import LABELLED_TASKS
from arch_zoo.settings import FieldError

GLUE = pathlib.Path(__file__).parents[3] / "shared" / "data" / "glue"
needs_glue = pytest.mark.skipif(not GLUE.is_dir(), reason="no shared/data/glue beside the repository")


def task(name: str, **options):
    return LABELLED_TASKS.get(name)(**options)


def write(folder: pathlib.Path, **files: str) -> str:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    return str(folder)


# GLUE's own layouts, and what the second example of each is
LAYOUTS = {
    "cola": ("gj04\t1\t\tFine.\ngj04\t0\t*\tFine not.\n", ("Fine not.",), 0),
    "sst2": ("sentence\tlabel\ndull \t0\na joy \t1\n", ("a joy",), 1),
    "rte": ("index\tsentence1\tsentence2\tlabel\n0\tA b.\tA.\tentailment\n1\tA c.\tB.\tnot_entailment\n",
            ("A c.", "B."), 1),
    "mrpc": ("Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t7\t8\t\"A\" b\tb A\n0\t7\t9\tA\tC\n", ("A", "C"), 0),
    "stsb": ("index\tgenre\tsentence1\tsentence2\tscore\n0\tx\tA\tB\t5.000\n1\tx\tA\tC\t2.25\n", ("A", "C"), 2.25),
    "mnli": ("index\tsentence1\tsentence2\tlabel1\tgold_label\n0\tA\tB\tneutral\tneutral\n"
             "1\tA\tC\tneutral\tcontradiction\n", ("A", "C"), 2),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_glues_own_files_are_read(name, tmp_path):
    text, texts, answer = LAYOUTS[name]
    dev = "dev_matched__tsv" if name == "mnli" else "dev__tsv"
    found = read_task(task(name), write(tmp_path, train__tsv=text, **{dev: text}))
    assert found.train == found.dev and len(found.train) == 2
    assert found.train[1] == Example(texts, answer)
    assert found.kind is {"mrpc": Kind.SIMILARITY, "stsb": Kind.SIMILARITY, "cola": Kind.SENTENCE,
                          "sst2": Kind.SENTENCE}.get(name, Kind.PAIR)
    assert found.is_regression == (name == "stsb")


@pytest.mark.parametrize("name", ["mrpc", "rte", "stsb", "mnli"])
def test_how_a_pair_is_read_can_be_chosen(name):
    assert {task(name, similarity=choice).kind for choice in (True, False)} == {Kind.SIMILARITY, Kind.PAIR}


def test_held_out_genres_can_be_chosen(tmp_path):
    text, other = LAYOUTS["mnli"][0], LAYOUTS["mnli"][0].replace("A\tC", "A\tD")
    folder = write(tmp_path, train__tsv=text, dev_matched__tsv=text, dev_mismatched__tsv=other)
    assert read_task(Mnli(), folder).dev[1].texts == ("A", "C")
    assert read_task(Mnli(genres="mismatched"), folder).dev[1].texts == ("A", "D")


@needs_glue
@pytest.mark.parametrize(("name", "train", "dev"), [("cola", 8551, 1043), ("sst2", 6920, 872), ("rte", 1767, 2400)])
def test_the_real_files_are_read_whole(name, train, dev):
    found = read_task(task(name), str(GLUE))
    assert (len(found.train), len(found.dev)) == (train, dev)
    assert {example.answer for example in found.train} == {0, 1}


def test_xml_of_the_challenges_is_read(tmp_path):
    pair = '<pair id="{}" {}="{}" task="IE"><t>A\n b &amp; c.</t><h>A b.</h></pair>'
    old = "<entailment-corpus>" + pair.format(1, "value", "TRUE") + pair.format(2, "value", "FALSE")
    new = "<entailment-corpus>" + pair.format(1, "entailment", "NO") + pair.format(2, "entailment", "YES")
    end = "</entailment-corpus>"
    found = read_task(task("rte"), write(tmp_path, rte1_dev__xml=old + end, rte2_test__xml=new + end))
    assert found.train[0] == Example(("A b & c.", "A b."), 0)
    assert [e.answer for e in found.train + found.dev] == [0, 1, 1, 0]
    assert found.sources["train"][0].endswith("rte1_dev.xml")
    (tmp_path / "rte1_dev.xml").write_text("<entailment")
    with pytest.raises(UserError, match="rte1_dev.xml: not readable as XML"):
        read_task(task("rte"), str(tmp_path))


def test_columns_of_ones_own(tmp_path):
    lines = [{"q": "A", "options": ["x", "y", "z"], "right": 2}, {"q": "B", "options": ["x", "y"], "right": 0}]
    table = "b\ta\tstars\none\ttwo\tgood\nthree\tfour\tbad\n"
    write(tmp_path, a__tsv=table, b__tsv=table, c__jsonl="".join(json.dumps(line) + "\n" for line in lines),
          d__tsv="one\t2.5\ntwo\t3\n", e__tsv="q\tone\ttwo\tlabel\nA\tx\ty\t1\n",
          f__jsonl='{"text": "A", "label": 1.0}\n{"text": "B", "label": 0}\n')

    def read(name, **options):
        return read_task(Columns(**options), f"{tmp_path / name},{tmp_path / name}")

    assert read("a.tsv", text="a", label="stars").train[0] == Example(("two",), 1)
    assert read("a.tsv", text="a", label="stars").labels == ("bad", "good")
    assert read("a.tsv", text="a", label="stars", labels=("good", "bad")).train[0].answer == 0
    assert read("a.tsv", text="a", pair="b", label="stars").train[0].texts == ("two", "one")
    assert read("a.tsv", text="a", pair="b", label="stars", similarity=True).kind is Kind.SIMILARITY
    choice = read("c.jsonl", text="q", choices=("options",), label="right")
    assert choice.train == [Example(("A",), 2, ("x", "y", "z")), Example(("B",), 0, ("x", "y"))]
    assert choice.kind is Kind.CHOICE and choice.metrics == ("accuracy",)
    value = read("d.tsv", text="0", label="1", numbers=True)
    assert value.train[0] == Example(("one",), 2.5) and value.metrics == ("pearson", "spearman")
    assert read("e.tsv", text="q", choices=("one", "two")).train == [Example(("A",), 1, ("x", "y"))]
    assert [e.answer for e in read("f.jsonl").train] == [1, 0]
    assert read("a.tsv", text="a", label="stars", metrics=("f1", "accuracy")).metrics == ("f1", "accuracy")


WRONG = {
    "no such column": ("sentence\tlable\na\t1\n", {}, "has no column 'label' for the label of task=sst2. Did you mean "
                                                      "'lable'? Columns: sentence, lable; --task=tsv"),
    "no such label": ("sentence\tlabel\na\t1\nb\tmaybe\n", {}, "train.tsv:3: unknown label 'maybe'; task=sst2 knows 0 "
                                                                "(negative), 1 (positive)"),
    "an empty text": ("sentence\tlabel\na\t1\n \t0\n", {}, "train.tsv:3: 'sentence' is empty; every example needs"),
    "an empty row": ("sentence\tlabel\na\t1\n\nb\t0\n", {}, "train.tsv:3: an empty row"),
    "another number of columns": ("sentence\tlabel\na\t1\nb\n", {}, "train.tsv:3: has 1 columns, and the first row"),
    "nothing": ("", {}, "train.tsv: empty"),
    "no examples": ("sentence\tlabel\n", {}, "train.tsv: has no examples"),
    "not text": ("a\0b\t1\n", {}, "train.tsv: not text: there is a zero byte at offset 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_with_something_wrong_ends_in_one_line(case, tmp_path):
    text, options, message = WRONG[case]
    with pytest.raises(UserError) as raised:
        read_task(task("sst2", **options), write(tmp_path, train__tsv=text, dev__tsv=LAYOUTS["sst2"][0]))
    assert message in str(raised.value) and "\n" not in str(raised.value)


WRONG_JSON = {
    '{"sentence": "a", "label": 1}\n\n': "train.jsonl:2: an empty row",
    '{"sentence": "a"': "train.jsonl:1: not JSON",
    "[1]\n": "train.jsonl:1: expected an object with columns, got [1]",
    '{"sentence": "a", "label": 1}\n{"sentence": "a"}\n': "train.jsonl:2: has no field 'label'; here are: sentence",
    '{"sentence": null, "label": 1}\n': "train.jsonl:1: 'sentence' is empty",
}


@pytest.mark.parametrize("text", WRONG_JSON)
def test_json_lines_with_something_wrong_end_in_one_line(text, tmp_path):
    with pytest.raises(UserError) as raised:
        read_task(task("sst2"), write(tmp_path, train__jsonl=text, dev__tsv=LAYOUTS["sst2"][0]))
    assert WRONG_JSON[text] in str(raised.value) and "\n" not in str(raised.value)


def test_values_and_choices_that_are_none_are_named(tmp_path):
    data = write(tmp_path, train__tsv="sentence1\tsentence2\tscore\nA\tB\thigh\n", dev__tsv=LAYOUTS["stsb"][0])
    with pytest.raises(UserError, match="train.tsv:2: unknown label 'high'; it must be a number"):
        read_task(task("stsb"), data)
    for row, message in (('["x"]\t0', "holds 1 choices; there must be two"), ('["x", "y"]\t2', "numbered 0 to 1")):
        write(tmp_path, train__tsv=f"text\tall\tlabel\nA\t{row}\n")
        with pytest.raises(UserError, match=message):
            read_task(Columns(choices=("all",)), f"{tmp_path}/train.tsv,{tmp_path}/train.tsv")


def test_files_that_are_not_there_are_named_with_their_neighbours(tmp_path):
    write(tmp_path, train__tsv=LAYOUTS["sst2"][0], notes__md="")
    for data, message in ((f"{tmp_path}/trian.tsv,{tmp_path}/train.tsv", "trian.tsv is not there. Did you mean"),
                          (f"{tmp_path}/train.tsv", "expected a folder, two files TRAIN,DEV, or tfds:NAME"),
                          (str(tmp_path), "no file for task=sst2 has dev or validation in its name and ends in .tsv")):
        with pytest.raises(UserError, match=message):
            read_task(task("sst2"), data)


@pytest.mark.parametrize(("options", "message"), [
    ({"metrics": ("recall",)}, "metrics: unknown metric 'recall'; known: accuracy"),
    ({"metrics": ("pearson",)}, "metrics: pearson: pearson and spearman are for values"),
    ({"numbers": True, "metrics": ("accuracy",)}, "metrics: accuracy: pearson and spearman are for values"),
    ({"similarity": True}, "similarity: is of two texts; name the second by pair"),
    ({"pair": "b", "choices": ("c",)}, "choices: stand beside one context"),
    ({"numbers": True, "labels": ("a", "b")}, "numbers: an answer is a value, a label or a choice"),
])
def test_options_that_contradict_each_other_are_refused(options, message):
    with pytest.raises(FieldError, match=message):
        Columns(**options)


# --- TensorFlow Datasets -----------------------------------------------------------------------------------------

def test_datasets_are_read_like_files(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets", reason="TensorFlow Datasets is not installed")
    from arch_zoo.data.tfds_text import prepare_tfds

    class ArchZooTestGlue(tfds.core.GeneratorBasedBuilder):
        """As much like glue/rte as matters: classes as numbers with names."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"sentence1": tfds.features.Text(), "sentence2": tfds.features.Text(), "idx": np.int32,
                        "label": tfds.features.ClassLabel(names=["not_entailment", "entailment"])}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features),
                                         disable_shuffling=True)

        def _split_generators(self, dl_manager):
            return {split: self._generate_examples(split) for split in ("train", "validation")}

        def _generate_examples(self, split):
            for number in range(3):
                yield number, {"sentence1": f"{split} {number}", "sentence2": "ü", "idx": number, "label": number % 2}

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    name = "tfds:arch_zoo_test_glue"
    with pytest.raises(UserError, match="not prepared in"):
        read_task(task("rte"), name)
    prepare_tfds(name)
    found = read_task(task("rte"), name)
    assert found.dev[1] == Example(("validation 1", "ü"), 0)  # by its name, not by its number
    assert [example.answer for example in found.train] == [1, 0, 1]
    with pytest.raises(UserError, match="has no column 'sentence' for the text of task=cola"):
        read_task(task("cola"), name)
    with pytest.raises(UserError, match="has no validation_matched split; it has train, validation"):
        read_task(task("mnli"), name)
