"""experiments.fine_tune from the command line: every task kind, every way to learn, and one line for what cannot be."""

import json

import pytest

from arch_zoo.files import read_json
from tests.runs import ASKING, assert_one_line, many, trained, untrained, write_corpus

PROGRAM = "experiments.fine_tune"
QUICK = ["--seeds=2", "--epochs=1", "--batch_size=4", "--length=16"]
SENTENCES = "sentence\tlabel\n" + "".join(f"{'ba ka de' if i % 2 else 'lo pi ros'} {i}\t{i % 2}\n" for i in range(8))
PAIRS = "Quality\t#1 String\t#2 String\n" + "".join(f"{i % 2}\tba ka\tlo pi {i}\n" for i in range(8))
VALUES = "sentence1\tsentence2\tscore\n" + "".join(f"ba ka\tlo pi {i}\t{i / 2}\n" for i in range(8))
CHOICES = "".join(json.dumps({"text": "ba ka", "all": ["de lin", "lo pi", "tu"][:2 + i % 2], "label": i % 2}) + "\n"
                  for i in range(8))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A directory with two runs and the files of several tasks."""
    home = tmp_path_factory.mktemp("fine_tune")
    corpus = write_corpus(home / "corpus.txt")
    trained(corpus, home / "decoder", steps=3)
    untrained(corpus, home / "encoder", model__architecture="encoder_only", objective="masked_lm")
    for name, text in (("sst2", SENTENCES), ("mrpc", PAIRS), ("stsb", VALUES)):
        (home / f"{name}_train.tsv").write_text(text)
        (home / f"{name}_dev.tsv").write_text(text)
    (home / "choices.jsonl").write_text(CHOICES)
    (home / "bad.tsv").write_text("sentence\tlabel\nba\tsome\n")
    return home


def run_all(home, cases):
    return dict(zip(cases, many([(PROGRAM, [part.replace("=H", f"={home}") for part in arguments])
                                 for arguments in cases.values()], (*ASKING, "scipy.stats")), strict=True))


WORKS = {
    "head": ["--workdir=H/decoder", "--task=sst2", "--data=H", *QUICK],
    "similarity": ["--workdir=H/encoder", "--task=mrpc", "--data=H", *QUICK],
    "values": ["--workdir=H/encoder", "--task=stsb", "--data=H", "--task.similarity=False", *QUICK],
    "choices": ["--workdir=H/decoder", "--task=tsv", "--task.choices=all", "--data=H/choices.jsonl,{H}/choices.jsonl",
                *QUICK],
    "words": ["--workdir=H/decoder", "--task=mrpc", "--data=H", "--answer=words", *QUICK],
    "GPT-1": ["--workdir=H/decoder", "--task=sst2", "--data=H", "--new_tokens=True", "--auxiliary=0.5", *QUICK],
    "ULMFiT": ["--workdir=H/decoder", "--task=sst2", "--data=H", "--weights.divisor=2.6", "--weights.gradual=True",
               "--schedule=slanted_triangular", *QUICK],
    "probe": ["--workdir=H/encoder", "--task=sst2", "--data=H", "--weights=probe", "--weights.layers=all",
              "--pool=first", *QUICK],
    "LoRA": ["--workdir=H/decoder", "--task=sst2", "--data=H", "--weights=lora", "--weights.rank=2",
             "--visibility=bidirectional", *QUICK],
    "scratch": ["--workdir=H/decoder", "--task=sst2", "--data=H", "--transfer=scratch", *QUICK],
}


@pytest.mark.slow
def test_every_way_to_learn_works_from_the_command_line(home):
    cases = {name: [part.replace("{H}", str(home)) for part in arguments] for name, arguments in WORKS.items()}
    for name, ended in run_all(home, cases).items():
        assert ended["code"] == 0, (name, ended["err"])
        *_, folder = ended["out"].splitlines()
        results = read_json(f"{folder}/results.json")
        assert all(len(found["seeds"]) == 2 for found in results["metrics"].values()), name
        assert "always" in ended["out"] and "step 2/2  loss" in ended["err"], name


WRONG = {
    "no workdir": (["--task=cola"], "--workdir=DIR is required"),
    "no run": (["--workdir=H/decodr", "--data=H"], ("not the directory of a run", "Did you mean", "decoder")),
    "no data": (["--workdir=H/decoder"], "--data=… is required: a folder with the task's files, TRAIN,DEV, or tfds:"),
    "unknown task": (["--workdir=H/decoder", "--task=colla"], "unknown labelled task 'colla'. Did you mean 'cola'"),
    "data not there": (["--workdir=H/decoder", "--task=sst2", "--data=H/sst2_train.tsv,{H}/sst2_def.tsv"],
                       ("sst2_def.tsv is not there. Did you mean", "sst2_dev.tsv")),
    "missing column": (["--workdir=H/decoder", "--task=stsb", "--data=H/sst2_dev.tsv,{H}/sst2_dev.tsv"],
                       "has no column 'sentence1' for the text of task=stsb. Did you mean 'sentence'? Columns: "),
    "unknown label": (["--workdir=H/decoder", "--task=sst2", "--data=H/bad.tsv,{H}/bad.tsv"],
                      "bad.tsv:2: unknown label 'some'; task=sst2 knows 0 (negative), 1 (positive)"),
    "words of an encoder": (["--workdir=H/encoder", "--task=sst2", "--data=H", "--answer=words"],
                            "answer=words: encoder_only with objective=masked_lm writes no words: filling in from"),
    "LM loss of an encoder": (["--workdir=H/encoder", "--task=sst2", "--data=H", "--auxiliary=0.5"],
                              "auxiliary=0.5: encoder_only has no causal language-model loss"),
    "first of a causal model": (["--workdir=H/decoder", "--task=sst2", "--data=H", "--pool=first"],
                                "answer.pool=first: under causal visibility the first token sees nothing but itself"),
    "a pool of words": (["--workdir=H/decoder", "--task=sst2", "--data=H", "--answer=words", "--pool=mean"],
                        "answer.pool: there is no field 'pool' here"),
    "streams": (["--workdir=H/decoder", "--task=sst2", "--data=H", "--streams=encoder"], "decoder_only has one stack"),
    "too many layers": (["--workdir=H/decoder", "--task=sst2", "--data=H", "--transfer=7"],
                        "transfer=7: the model is read through 1 blocks"),
    "too long": (["--workdir=H/decoder", "--task=sst2", "--data=H", "--length=600"],
                 "length=600: a stream of 600 tokens is longer than model.max_len=512; give a shorter length"),
    "nothing to do": (["--workdir=H/decoder", "--weights=probe", "--new_tokens=True"], "new_tokens: would stay as"),
    "no such weights": (["--workdir=H/decoder", "--weights=lorra"], "unknown choice of weights 'lorra'. Did you mean"),
}


def test_what_cannot_be_ends_in_one_line_and_writes_nothing(home):
    before = {path for name in ("decoder", "encoder") for path in (home / name).rglob("seed_*")}
    cases = {name: [part.replace("{H}", str(home)) for part in arguments] for name, (arguments, _) in WRONG.items()}
    for name, ended in run_all(home, cases).items():
        assert_one_line(ended, WRONG[name][1])
    assert before == {path for name in ("decoder", "encoder") for path in (home / name).rglob("seed_*")}


def test_done_seeds_are_taken_as_they_are_and_what_is_cut_is_counted(home):
    command = {"first": ["--workdir=H/decoder", "--task=sst2", "--data=H", "--seeds=1", "--epochs=1", "--length=5"]}
    first = run_all(home, command)["first"]
    again = run_all(home, command)["first"]
    assert first["code"] == again["code"] == 0
    assert first["out"] == again["out"] and "cut to length=5 tokens: 8 training examples, 8 held out" in again["out"]
    assert "seed 0 step 1/1  loss" in first["err"] and again["err"] == "sst2 seed 0 is done already\n"
