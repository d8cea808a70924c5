"""experiments.evaluate: what it writes, and every wrong way to call it."""

import json
import math
import shutil

import pytest

from arch_zoo.files import read_json
from arch_zoo.interop.runs import import_run
from experiments.evaluation import harness
from tests import runs
from tests.evaluation.toy_text import lines
from tests.interop.golden_weights import GOLDEN, write_checkpoint
from tests.runs import ASKING, assert_one_line, many

EVALUATE = "experiments.evaluate"
PRELOAD = (*ASKING, "experiments.report.build", "matplotlib.figure")
HARNESS_KEYS = ["results", "group_subtasks", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "config",
                "git_hash", "date"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder with a causal and a masked run, an imported discriminator, and test material."""
    home = tmp_path_factory.mktemp("evaluate")
    corpus = runs.write_corpus(home / "corpus.txt")
    runs.trained(corpus, home / "causal", steps=2)
    runs.untrained(corpus, home / "masked", model__architecture="encoder_only", objective="masked_lm")
    write_data(home / "data")
    case = json.loads(GOLDEN.read_text())["cases"]["electra_discriminator"]
    write_checkpoint(home / "hf", case["config"], case["shapes"])
    import_run(home / "hf", home / "discriminator")
    shutil.copytree(home / "causal" / "tokenizer", home / "discriminator" / "tokenizer")
    return home


def write_data(data):
    (data / "blimp").mkdir(parents=True)
    for uid, term in (("one", "first"), ("two", "first"), ("three", "second")):
        lines(data / "blimp" / f"{uid}.jsonl", *(
            {"sentence_good": f"kalin mona {n}", "sentence_bad": f"mona kalin {n}", "UID": uid,
             "linguistics_term": term}
            for n in range(4)))
    lines(data / "lambada_test.jsonl", {"text": "balin dena kimo"}, "mura lopi sena")
    (data / "perplexity.txt").write_text("balin dena kimo mura lopi sena\n" * 20)
    lines(data / "multiple_choice.jsonl", {"query": "ba", "choices": ["lin", "mo", "na"], "answer": 0})
    lines(data / "empty.jsonl")
    lines(data / "no_answer.jsonl", {"query": "ba", "choices": ["lin", "mo"]})


def flags(home, run, tasks, *more, data="data"):
    return [f"--workdir={home / run}", f"--tasks={tasks}", *([f"--data={home / data}"] if data else []), *more]


@pytest.fixture(scope="module")
def evaluated(home):
    """{name: how the command ended}."""
    commands = {
        "all": flags(home, "causal", "blimp,lambada,perplexity,multiple_choice", "--limit=3",
                     "--tasks.perplexity.stride=8", "--tasks.perplexity.length=16"),
        "masked": flags(home, "masked", "blimp,lambada,perplexity", "--tasks.blimp.likelihood=within_words",
                        "--tasks.perplexity.length=8", "--tasks.perplexity.limit=2"),
        "one file": flags(home, "causal", "perplexity", data="data/perplexity.txt"),
        "another objective": flags(home, "causal", "perplexity", "--objective=prefix_lm", "--limit=2"),
    }
    return dict(zip(commands, many([(EVALUATE, command) for command in commands.values()], PRELOAD), strict=True))


def test_results_are_in_the_harness_shape(home, evaluated):
    assert evaluated["all"]["code"] == 0, evaluated["all"]["err"]
    for name in ("blimp", "lambada", "multiple_choice"):
        record = read_json(home / "causal" / "evaluation" / name / "results.json")
        assert list(record)[:len(HARNESS_KEYS)] == HARNESS_KEYS
        assert record["versions"][name] == 1 and record["n-shot"][name] == 0
        assert record["configs"][name]["name"] == name and record["config"]["model"] == "arch_zoo"
        assert {"units", "command", "how", "notes", "chance", "seconds"} <= set(record)
        assert "--limit=3" in record["command"]
        assert set(record["results"]) == set(record["versions"]) == set(record["n-samples"])
        for key, value in record["results"][name].items():
            assert key == "alias" or key.endswith(",none") and (value == "N/A" or math.isfinite(value))
    blimp = read_json(home / "causal" / "evaluation" / "blimp" / "results.json")
    assert blimp["n-samples"]["blimp"] == {"original": None, "effective": 9} and blimp["configs"]["blimp"]["limit"] == 3
    assert set(blimp["results"]) == {"blimp", "blimp_first", "blimp_second", "blimp_one", "blimp_two", "blimp_three"}
    assert blimp["group_subtasks"]["blimp_first"] == ["blimp_one", "blimp_two"]
    assert blimp["higher_is_better"]["blimp"] == {"acc": True} and blimp["chance"] == {"acc": 0.5}
    parts = [blimp["results"][f"blimp_{name}"]["acc,none"] for name in ("one", "two", "three")]
    assert blimp["results"]["blimp"]["acc,none"] == pytest.approx(sum(parts) / 3)


def test_samples_tables_and_plots_are_beside_them(home, evaluated):
    where = home / "causal" / "evaluation"
    samples = [json.loads(line) for line in (where / "blimp" / "samples.jsonl").read_text().splitlines()]
    assert len(samples) == 9 and {"doc_id", "doc", "target", "arguments", "resps", "acc"} <= set(samples[0])
    assert (where / "blimp" / "groups.png").read_bytes()[:4] == b"\x89PNG"
    assert "| first | acc ↑ |" in (where / "blimp" / "table.md").read_text()
    assert not (where / "lambada" / "groups.png").exists()
    out = evaluated["all"]["out"]
    assert all(word in out for word in ("blimp", "lambada", "perplexity", "chance", "left to right", "written: "))
    assert not [path for path in where.rglob(".*")]  # nothing half-written


def test_the_protocol_is_in_the_name(home, evaluated):
    record = read_json(home / "causal" / "evaluation" / "perplexity" / "results.json")
    assert "word_perplexity_sliding_16_stride_8,none" not in record["results"]["perplexity"]  # written over since
    assert evaluated["one file"]["code"] == 0 and "bits_per_byte_sliding_16_stride_8" in evaluated["all"]["out"]


def test_a_masked_model_has_its_own_names_and_its_own_line(home, evaluated):
    ended = evaluated["masked"]
    assert ended["code"] == 1 and ended["err"].splitlines()[-1].startswith(
        "evaluate: task lambada is undefined for objective=masked_lm: filling in from both sides defines no left-to-ri")
    where = home / "masked" / "evaluation"
    assert not (where / "lambada").exists()
    record = read_json(where / "perplexity" / "results.json")
    values = {key for key in record["results"]["perplexity"] if "stderr" not in key and key != "alias"}
    assert values == {f"pseudo_{what}_windows_8,none" for what in ("bits_per_byte", "word_perplexity", "perplexity")}
    assert set(record["undefined"]) == {"bits_per_byte_windows_8", "word_perplexity_windows_8", "perplexity_windows_8"}
    assert "later ones of its word" in read_json(where / "blimp" / "results.json")["how"]


def test_a_run_can_be_asked_by_another_objective(evaluated):
    assert evaluated["another objective"]["code"] == 0, evaluated["another objective"]["err"]


def test_an_undefined_error_is_written_as_the_harness_writes_it():
    from arch_zoo.tasks.base import Measured

    assert harness._entries({"acc": Measured(0.5), "none": Measured(None, reason="no")}) == {
        "acc,none": 0.5, "acc_stderr,none": "N/A"}


# --- what cannot be --------------------------------------------------------------------------------------------

# name: (run, tasks, data, more flags, parts of the message)
REFUSED = {
    "no tasks": ("causal", "", "data", [], "--tasks=NAME,… is required"),
    "unknown task": ("causal", "blmp", "data", [], "unknown task 'blmp'. Did you mean 'blimp'? Known: blimp, cloze"),
    "unknown option": ("causal", "blimp", "data", ["--tasks.blimp.limt=3"],
                       "tasks.blimp.limt: there is no field 'limt' here. Did you mean 'limit'?"),
    "task not asked for": ("causal", "blimp", "data", ["--tasks.cloze.limit=3"], "there is no 'cloze' among blimp"),
    "limit of none": ("causal", "blimp", "data", ["--limit=0"], "limit"),
    "no data": ("causal", "blimp", None, [], "task blimp needs data; give --data=FOLDER with blimp in it"),
    "data elsewhere": ("causal", "cloze", "data", [], "data: has no cloze.jsonl for task cloze"),
    "no such data": ("causal", "blimp", "dta", [], "dta: no such file or folder"),
    "one file for two": ("causal", "blimp,lambada", "data/lambada_test.jsonl", [], "is one file, and there are 2"),
    "empty file": ("causal", "multiple_choice", "data/empty.jsonl", [], "data/empty.jsonl: empty"),
    "missing fields": ("causal", "multiple_choice", "data/no_answer.jsonl", [], "no_answer.jsonl:1: needs the fields"),
    "a folder as text": ("causal", "perplexity", "data", ["--tasks.perplexity.data=HOME/data"],
                         "data is a folder; give a text file"),
    "no run": ("nowhere", "blimp", "data", [], "nowhere: not the directory of a run"),
    "no head": ("discriminator", "blimp", "data", [], "its model has no head that predicts tokens"),
    "wrong objective": ("causal", "blimp", "data", ["--objective=masked_lm"], "decoder_only cannot train objective="),
    "a config": ("causal", "blimp", "data", ["--config=configs/base.py"],
                 "this program reads the config of the run in --workdir"),
    "one task takes the path": ("causal", "fine_tuned", "data/nothing", [], "data/nothing is not there"),
    "stray": ("causal", "blimp", "data", ["now"], "unexpected argument 'now'"),
}


@pytest.fixture(scope="module")
def refused(home):
    commands = [(EVALUATE, flags(home, run, tasks, *(flag.replace("HOME", str(home)) for flag in more), data=data))
                for run, tasks, data, more, _ in REFUSED.values()]
    return dict(zip(REFUSED, many([*commands, (EVALUATE, ["--tasks=blimp"])], PRELOAD), strict=False))


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_one_line(refused, case):
    ended = refused[case]
    last = ended["err"].splitlines()[-1:] if case in ("empty file", "missing fields", "a folder as text") else None
    assert_one_line(ended if last is None else ended | {"err": f"{last[0]}\n"}, REFUSED[case][-1])
    assert "Traceback" not in ended["err"] and not ended["out"]


def test_help_names_the_tasks():
    ended, = many([(EVALUATE, ["--help"])], PRELOAD)
    assert (ended["code"], ended["err"]) == (0, "")
    assert "blimp, cloze, exact_match, fine_tuned, lambada" in ended["out"] and "--data=" in ended["out"]
