"""experiments.generate: text behind prompts and in gaps, at the terminal and in files; mistakes are one line."""

import json
import re

import pytest

from tests.runs import ASKING, assert_one_line, many, trained, untrained, write_corpus

GENERATE = "experiments.generate"
SHORT = {"steps": 8, "checkpoint_every": 8, "evaluate_every": 8}
BERT = {"model.architecture": "encoder_only", "objective": "masked_lm"}

# name: (run, arguments); D is the directory of all runs
WORKING = {
    "stream": ("gpt", ["--prompt=kali", "--max_tokens=6"]),
    "stream again": ("gpt", ["--prompt=kali", "--max_tokens=6", "--output=D/one.jsonl"]),
    "warm": ("gpt", ["--prompt=kali", "--prompt=", "--samples=3", "--temperature=1.5", "--top_p=0.95", "--seed=3",
                     "--max_tokens=6"]),
    "file": ("gpt", ["--input=D/prompts.txt", "--max_tokens=6", "--output=D/out.jsonl", "--rows=2"]),
    "beams": ("gpt", ["--prompt=kali", "--beam=3", "--length_penalty=1.0", "--max_tokens=6", "--output=D/beams.jsonl"]),
    "gaps": ("bert", ["--prompt=kali [MASK:2]mona", "--passes=1"]),
    "drawn gaps": ("bert", ["--prompt=kali [MASK:2]mona", "--samples=4", "--temperature=4.0",
                            "--output=D/gaps.jsonl"]),
}
REFUSED = {
    "no workdir": (None, ["--prompt=kali"], "--workdir=DIR is required"),
    "no run": ("nothing", ["--prompt=kali"], "not the directory of a run"),
    "no prompt": ("gpt", [], "--prompt=TEXT or --input=FILE is required"),
    "no file": ("gpt", ["--input=D/no.txt"], "--input=D/no.txt: no such file"),
    "empty file": ("gpt", ["--input=D/empty.txt"], "--input=D/empty.txt: empty"),
    "samples alike": ("gpt", ["--prompt=kali", "--samples=2"], "--samples=2 would all be the same at temperature=0"),
    "a cut without temperature": ("gpt", ["--prompt=kali", "--top_p=0.9"],
                                  "sampling.top_p: nothing is drawn at temperature=0"),
    "beams that draw": ("gpt", ["--prompt=kali", "--beam=3", "--temperature=1"],
                        "search.beam: a beam search draws nothing"),
    "a penalty without beams": ("gpt", ["--prompt=kali", "--length_penalty=1"], "set beam above 1"),
    "beams that stop": ("gpt", ["--prompt=kali", "--beam=3", "--stop=x"], "--stop: a beam search goes on to the end"),
    "out of range": ("gpt", ["--prompt=kali", "--top_p=2"], "sampling.top_p: 2.0 is out of range"),
    "unknown flag": ("gpt", ["--promt=kali"], "Unknown command line flag 'promt'. Did you mean: prompt"),
    "unknown option": ("gpt", ["--prompt=kali", "--config.sampling.topk=3"], "Did you mean 'top_k'"),
    "a config file": ("gpt", ["--prompt=kali", "--config=configs/base.py"], "this program reads the config of"),
    "no such objective": ("gpt", ["--prompt=kali", "--objective=casual_lm"], "Did you mean 'causal_lm'"),
    "not this objective": ("gpt", ["--prompt=kali", "--objective=masked_lm"],
                           "decoder_only cannot train objective=masked_lm: it fills in from both sides"),
    "too long": ("gpt", ["--prompt=kali", "--max_tokens=600"], ("objective=causal_lm cannot write here: a stream of ",
                                                                "is longer than model.max_len=512")),
    "an encoder to write on": ("bert", ["--prompt=kali"],
                               ("objective=masked_lm cannot write here: it fills in gaps and does not write from left",
                                "write [MASK] where a token is missing")),
    "an encoder with beams": ("bert", ["--prompt=kali [MASK]", "--beam=3"],
                              "--beam is for models that write from left to right"),
    "an encoder with stops": ("bert", ["--prompt=kali [MASK]", "--stop=x"], "--stop is for models that write"),
    "an encoder with a length": ("bert", ["--prompt=kali [MASK]", "--max_tokens=3"], "--max_tokens is for models that"),
    "a decoder with passes": ("gpt", ["--prompt=kali", "--passes=2"], "--passes is for models that fill in gaps"),
}


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """{name: how its command ended}, with the directory as "home"."""
    home = tmp_path_factory.mktemp("runs")
    corpus = write_corpus(home / "corpus.txt")
    (home / "prompts.txt").write_text("kali mona\nkali\n\nde\n")
    (home / "empty.txt").write_text("\n \n")
    trained(corpus, home / "gpt", **SHORT)
    untrained(corpus, home / "bert", **BERT)

    def command(run, arguments):
        return GENERATE, [*([] if run is None else [f"--workdir={home / run}"]),
                          *(argument.replace("D/", f"{home}/") for argument in arguments)]

    cases = {name: command(*case[:2]) for name, case in (WORKING | REFUSED).items()}
    found = dict(zip(cases, many(list(cases.values()), ASKING), strict=True))
    return {"home": home} | {name: {**one, "err": one["err"].replace(f"{home}/", "D/")} for name, one in found.items()}


def lines(ended, name):
    return [json.loads(line) for line in (ended["home"] / name).read_text().splitlines()]


@pytest.mark.parametrize("case", WORKING)
def test_it_ends_well(ended, case):
    assert ended[case]["code"] == 0, ended[case]["err"]
    assert ended[case]["err"] == ""


def test_a_text_stands_behind_its_prompt(ended):
    one, = lines(ended, "one.jsonl")
    assert ended["stream"]["out"] == f"kali{one['text']}\n" and one["prompt"] == "kali"
    assert ended["stream again"]["out"].endswith("one.jsonl, 1 texts\n")


def test_samples_are_shown_by_prompt(ended):
    parts = re.split("^── ", ended["warm"]["out"], flags=re.MULTILINE)[1:]
    assert [part.splitlines()[0] for part in parts] == ["kali", ""]
    texts = [part.split("\n", 1)[1].split("·\n") for part in parts]
    assert [len(set(some)) for some in texts] == [3, 3]


def test_a_file_of_prompts_gives_a_line_for_each(ended):
    found = lines(ended, "out.jsonl")
    assert [one["prompt"] for one in found] == ["kali mona", "kali", "", "de"]
    assert found[1]["text"] == lines(ended, "one.jsonl")[0]["text"]


def test_beams_come_best_first(ended):
    one, = lines(ended, "beams.jsonl")
    scores = [one["score"], *(other["score"] for other in one["others"])]
    assert len(scores) == 3 and scores == sorted(scores, reverse=True)


def test_gaps_are_filled_in(ended):
    assert re.fullmatch(r"kali.*mona\n", ended["gaps"]["out"]) and "[MASK" not in ended["gaps"]["out"]
    drawn = [one["text"] for one in lines(ended, "gaps.jsonl")]
    assert len(drawn) == 4 and len(set(drawn)) > 1


@pytest.mark.parametrize("case", REFUSED)
def test_a_mistake_is_one_line(ended, case):
    assert_one_line(ended[case], REFUSED[case][2])
    assert ended[case]["out"] == ""
