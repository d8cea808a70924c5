"""What the lm-evaluation-harness is told, without the harness: every option arrives, every wrong one is one line."""

import pathlib
import subprocess
import sys

import pytest

from arch_zoo.errors import UserError
from arch_zoo.generation.sampling import Sampling
from arch_zoo.interop.harness_arguments import Arguments, Generation, generation
from tests.runs import ROOT, environment

UNSAID = {"batch_size": 1, "device": "cuda:0", "max_batch_size": None}  # what the harness adds where nothing was said


def test_model_args_are_those_given_and_the_harness_flags_that_were_said():
    assert Arguments.of({"workdir": "runs/x"}, UNSAID) == Arguments(workdir="runs/x")
    assert Arguments.of({"workdir": 7, "rows": 3}, UNSAID | {"batch_size": "8"}) == Arguments(workdir="7", rows=3)
    assert Arguments.of({"workdir": "x"}, {"batch_size": "8"}).rows == 8
    assert Arguments.of({"workdir": "x", "batch_size": 4}, UNSAID).rows == 4
    assert Arguments.of({"workdir": "x", "trust_remote_code": True}, {"batch_size": "auto"}) == Arguments(workdir="x")


@pytest.mark.parametrize(("given", "message"), [
    ({}, "workdir=DIR is required"),
    ({"workdir": "x", "pretrained": "gpt2"}, "--model_args pretrained: there is no such field"),
    ({"workdir": "x", "tokens_per_bach": 1}, "Did you mean 'tokens_per_batch'"),
    ({"workdir": "x", "pll": "yes"}, "--model_args pll: expected"),
    ({"workdir": "x", "length": 0}, "--model_args length: 0 is out of range"),
    ({"workdir": "x", "device": "cuda:1"}, "device=cuda:1: JAX takes"),
    ({"workdir": "x", "max_batch_size": 8}, "max_batch_size: .* tokens_per_batch=N"),
    ({"workdir": "x", "batch_size": "auto:4"}, "batch_size=auto:4: expected the number of texts"),
])
def test_wrong_model_args_are_one_line(given, message):
    with pytest.raises(UserError, match=message) as caught:
        Arguments.of(given, {})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("given", "expected"), [
    ({}, Generation(256, Sampling(), ())),
    ({"until": "\n", "max_gen_toks": 5}, Generation(5, Sampling(), ("\n",))),
    ({"until": ["a", ""], "max_new_tokens": 7, "max_tokens": 9}, Generation(7, Sampling(), ("a",))),
    ({"do_sample": False, "temperature": 0.8, "top_p": 0.9}, Generation(256, Sampling(), ())),
    ({"temperature": 0.0, "top_k": 5}, Generation(256, Sampling(), ())),
    ({"do_sample": True, "temperature": 0}, Generation(256, Sampling(), ())),
    ({"do_sample": True, "top_k": 5}, Generation(256, Sampling(temperature=1.0, top_k=5), ())),
    ({"temperature": 0.8, "top_p": 0.9, "min_p": 0.1, "seed": 3, "repetition_penalty": 1.2},
     Generation(256, Sampling(temperature=0.8, top_p=0.9, min_p=0.1, seed=3, repetition_penalty=1.2), ())),
])
def test_gen_kwargs_in_the_words_of_the_harness(given, expected):
    assert generation(given, 256) == expected


@pytest.mark.parametrize(("given", "message"), [
    ({"num_beams": 4}, "gen_kwargs num_beams: not understood.* Known: until, max_gen_toks"),
    ({"temprature": 1}, "Did you mean 'temperature'"),
    ({"max_gen_toks": 0}, "gen_kwargs max_gen_toks: expected a number of tokens, at least 1"),
    ({"max_gen_toks": 2.5}, "gen_kwargs max_gen_toks: expected a number of tokens"),
    ({"temperature": "hot"}, "gen_kwargs temperature: expected float"),
    ({"temperature": 1, "top_p": 2}, "gen_kwargs top_p: 2.0 is out of range"),
    ({"until": 3}, "gen_kwargs until: expected strings"),
])
def test_wrong_gen_kwargs_are_one_line(given, message):
    with pytest.raises(UserError, match=message) as caught:
        generation(given, 256)
    assert "\n" not in str(caught.value)


def test_without_the_harness_one_line_names_the_extra():
    code = ("import runpy, sys; sys.modules['lm_eval'] = None; sys.argv = ['harness.py', '--model', 'arch_zoo']; "
            "runpy.run_module('experiments.harness', run_name='__main__')")
    ended = subprocess.run([sys.executable, "-c", code], cwd=pathlib.Path(ROOT), env=environment(), text=True,
                           capture_output=True)
    assert ended.returncode == 1 and ended.stderr.count("\n") == 1, ended.stderr
    assert "harness: the lm-evaluation-harness is not installed" in ended.stderr
    assert "pip install 'arch_zoo[harness]'" in ended.stderr
