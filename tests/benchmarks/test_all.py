"""The program that runs every benchmark: what it starts exists, what fails is named, nothing that was found is lost."""

import importlib.util
import json
import pathlib

import pytest
from absl import flags

from arch_zoo.errors import UserError
from benchmarks import all as everything
from benchmarks import table

CONDITIONS = "on a machine"


@pytest.fixture(autouse=True)
def parsed():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])


def test_every_benchmark_is_listed():
    folder = pathlib.Path(everything.__file__).parent
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "all", "arms", "table"}
    assert {benchmark.module for benchmark in everything.ALL.values()} == modules
    assert all(importlib.util.find_spec(f"benchmarks.{module}") for module in modules)


def test_a_table_is_kept_in_markdown_and_with_its_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(table, "conditions", lambda: CONDITIONS)
    table.publish("Title", ["what", "much"], [["a", "1"], ["bb", "22"]], str(tmp_path / "x.md"), ["a reason"],
                  numbers={"a": [0.5]})
    text, kept = (tmp_path / "x.md").read_text(), json.loads((tmp_path / "x.json").read_text())
    assert "| bb   |   22 |" in text and "1. a reason" in text and text == capsys.readouterr().out[:-1]
    assert kept["rows"] == [["a", "1"], ["bb", "22"]] and kept["numbers"] == {"a": [0.5]}
    assert kept["conditions"] == CONDITIONS


def test_what_fails_is_named_and_the_others_are_kept(tmp_path, monkeypatch, capsys):
    broken = everything.Benchmark("no_such_module")
    monkeypatch.setattr(everything, "ALL", {"good": everything.Benchmark("pipeline"), "bad": broken})
    monkeypatch.setattr(everything, "_device", lambda: ("Some GPU 80GB", "gpu"))
    real = everything.measure
    monkeypatch.setattr(everything, "measure", lambda benchmark, platform: real(benchmark, platform)
                        if benchmark is broken else {"markdown": "## Good\n", "numbers": {"rows": []}, "seconds": 1.0})
    monkeypatch.setattr(flags.FLAGS["out"], "value", str(tmp_path))
    assert everything.main([]) == 1
    assert "1 of 2 benchmarks; failed: bad" in capsys.readouterr().out
    text = (tmp_path / "some_gpu_80gb.md").read_text()
    assert "## Good" in text and "Did not run" in text and "no_such_module" in text
    kept = json.loads((tmp_path / "some_gpu_80gb.json").read_text())["benchmarks"]
    assert set(kept) == {"good", "bad"} and kept["good"]["numbers"] == {"rows": []}


def test_an_unknown_name_is_one_line(monkeypatch):
    monkeypatch.setattr(flags.FLAGS["only"], "value", ["kernel"])
    with pytest.raises(UserError, match=r"--only=kernel: there is none. Did you mean 'kernels'\?"):
        everything.main([])
