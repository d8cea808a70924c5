"""Training steps beside each other: cases and their targets, contenders that fail, what people type wrongly."""

import os
import pathlib
import subprocess
import sys

import pytest

from benchmarks.steps.cases import CASES, SMALL
from benchmarks.steps.worker import Contender, Made, serve, take_turns
from tests.runs import ROOT, environment

ANSWERS = """
import json, os, signal, sys
print("a line of a library")
print(json.dumps({"losses": [1.0, 1.0, 1.0]}), flush=True)
for line in sys.stdin:
    print(json.dumps({"seconds": [2.0, 1.0][:int(line)], "peak_bytes": 5}), flush=True)
    AFTERWARDS
"""


def contender(folder: pathlib.Path, title: str, afterwards: str = "pass", code: str = ANSWERS) -> Contender:
    (folder / f"{title}.py").write_text(code.replace("AFTERWARDS", afterwards))
    return Contender(title, title, [], {}, str(folder))


def test_a_contender_that_is_killed_between_turns_is_named_and_the_others_go_on(tmp_path):
    found = take_turns({"well": contender(tmp_path, "well"),
                        "killed": contender(tmp_path, "killed", "os.kill(os.getpid(), signal.SIGKILL)")}, 3, 2)
    assert found["well"] == {"title": "well", "seconds": [1.0] * 3 + [2.0] * 3, "losses": [1.0] * 3, "peak_bytes": 5}
    assert found["killed"] == {"title": "killed",
                               "failure": "its process ended with exit code -9, out of memory perhaps"}


def test_a_contender_that_never_begins_is_named(tmp_path):
    found = take_turns({"ended": contender(tmp_path, "ended", code="import sys; sys.exit(3)")}, 2, 2)
    assert found["ended"]["failure"] == "its process ended with exit code 3"


def test_what_a_worker_cannot_do_is_said_as_its_answer(capsys):
    def no_step():
        raise ModuleNotFoundError("No module named 'torch'")

    serve(no_step)
    assert "\"failure\": \"ModuleNotFoundError: No module named 'torch'\"" in capsys.readouterr().out
    serve(lambda: Made(lambda: float("nan"), {}))
    assert "not all finite" in capsys.readouterr().out


def test_t5_base_reads_512_tokens_and_writes_114():
    config = CASES["t5_base"].config("bfloat16")
    lengths = config.objective.lengths(config.data.length)
    assert (lengths.source, lengths.target) == (512, 114)


@pytest.mark.parametrize("name", CASES)
def test_a_case_can_be_made_small_and_has_something_that_is_wanted(name):
    assert CASES[name].config("float32", SMALL).model.width == SMALL["model.width"]
    assert CASES[name].wanted


def test_what_is_wanted_is_judged_where_it_is_wanted():
    decoder, gpt2 = CASES["decoder"], CASES["gpt2_small"]
    assert decoder.verdicts("eager", {"faster": 1.5, "memory": 0.9}, "cpu", "float32") == \
        "≥ 1.4×: reached; ≤ 0.8 of its memory: not reached"
    assert decoder.verdicts("malloc", {"faster": 1.5, "memory": 0.9}, "cpu", "float32") == ""
    measured = {"tokens": 500_000.0, "mfu": 0.44}
    assert gpt2.verdicts("ours", measured, "NVIDIA H200", "bfloat16") == \
        "≥ 500,000 tokens/s: reached; ≥ 45% MFU: not reached"
    for device, dtype in (("NVIDIA H100", "bfloat16"), ("NVIDIA H200", "float32")):
        assert gpt2.verdicts("ours", measured, device, dtype).count("not judged, but on H200 in bfloat16") == 2


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, text=True, capture_output=True,
                          env=os.environ | environment() | {"CUDA_VISIBLE_DEVICES": ""})


def test_one_that_computes_something_else_is_named_in_its_row(tmp_path):
    (tmp_path / "benchmarks" / "steps").mkdir(parents=True)
    for folder in ("benchmarks", "benchmarks/steps"):
        (tmp_path / folder / "__init__.py").touch()
    contender(tmp_path / "benchmarks" / "steps", "ours")
    command = ["-m", "benchmarks.train_step", "--rehearse", "--model=decoder", "--rounds=1", "--steps=1",
               f"--beside={tmp_path}", f"--out={tmp_path}/table.md"]
    ended = run(*command)
    assert ended.returncode == 1 and "Traceback" not in ended.stderr, ended.stderr
    text = (tmp_path / "table.md").read_text()
    assert text.count("failed (") == 1 and "1. it does not compute the same: its first loss is 1.00000" in text
    assert "arch_zoo |" in text and (tmp_path / "table.png").exists()


def test_a_kernel_that_fails_is_named_in_its_row():
    script = """
from absl import flags
import benchmarks.kernels as kernels, benchmarks.table as table
def fail(*given, **named):
    raise RuntimeError("no such instruction\\nat …")
kernels.Pallas.__call__ = fail
kernels.VARIANTS, table.conditions = kernels.VARIANTS[1:2], lambda *given: "here"
flags.FLAGS(["kernels", "--batch=1", "--length=32", "--heads=4", "--head_dim=16", "--rounds=1"])
print(kernels.main([]))
"""
    said = run("-c", script).stdout
    assert "failed (" in said and ". RuntimeError: no such instruction\n" in said and said.endswith("1\n")


@pytest.mark.parametrize(("arguments", "message"), [
    (["together", "--change=batch_size"], "--change=batch_size: PATH=VALUE is wanted"),
    (["together", "--members=two"], "--members=two: 'two' is no whole number"),
    (["compile_time", "--depths=four"], "--depths=four: 'four' is no whole number"),
    (["decoding"], "model.vocab_size is not set"),
    (["decoding", "--batches=x", "--config=configs/zoo.py:gpt2_small"], "--batches=x: 'x' is no whole number"),
    (["import_checkpoint"], "model.vocab_size is not set"),
    (["train_step", "--change=modl.depth=2"], "modl"),
    (["train_step", "--device=gpu"], "--device=gpu: JAX finds no device; a JAX for CUDA"),
])
def test_what_is_typed_wrongly_is_one_line(arguments, message):
    ended = run("-m", f"benchmarks.{arguments[0]}", *arguments[1:])
    assert ended.returncode and message in ended.stderr and "Traceback" not in ended.stderr, ended.stderr
    assert len(ended.stderr.splitlines()) == 1
