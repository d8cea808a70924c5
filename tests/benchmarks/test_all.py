"""The program that runs every benchmark: what it starts exists, what fails is named, nothing that was found is lost."""

import importlib.util
import json
import pathlib

import pytest
from absl import flags

from arch_zoo.errors import UserError
from benchmarks import all as everything
from benchmarks import table, targets

CONDITIONS = "on a machine"


@pytest.fixture(autouse=True)
def parsed():
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(["test"])


def test_every_benchmark_is_listed():
    folder = pathlib.Path(everything.__file__).parent
    helpers = {"__init__", "all", "arms", "conditions", "options", "table", "targets"}
    modules = {path.stem for path in folder.glob("*.py")} - helpers
    assert {benchmark.module for benchmark in everything.ALL.values()} == modules
    assert all(importlib.util.find_spec(f"benchmarks.{module}") for module in modules)


def test_a_table_is_kept_in_markdown_and_with_its_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(table, "conditions", lambda *given: CONDITIONS)
    table.publish("Title", ["what", "much"], [["a", "1"], ["bb", "22"]], str(tmp_path / "x.md"), ["a reason"],
                  numbers={"a": [0.5]})
    text, kept = (tmp_path / "x.md").read_text(), json.loads((tmp_path / "x.json").read_text())
    assert "| bb   |   22 |" in text and "1. a reason" in text and text == capsys.readouterr().out[:-1]
    assert kept["rows"] == [["a", "1"], ["bb", "22"]] and kept["numbers"] == {"a": [0.5]}
    assert kept["conditions"] == CONDITIONS


TABLE = {"title": "Good", "head": ["what", "much"], "rows": [["a", "1"]], "notes": [], "conditions": CONDITIONS,
         "numbers": None}


@pytest.fixture
def on_a_gpu(tmp_path, monkeypatch):
    """`run(found, **flags)`: main, where each benchmark but those whose module is missing gives what `found` says."""
    monkeypatch.setattr(everything, "ALL", {"good": everything.Benchmark("pipeline"),
                                            "bad": everything.Benchmark("no_such_module")})
    monkeypatch.setattr(everything, "device_elsewhere", lambda: ("Some GPU 80GB", "gpu"))
    monkeypatch.setattr(flags.FLAGS["out"], "value", str(tmp_path))
    real = everything.measure

    def run(found, **given):
        monkeypatch.setattr(everything, "measure", lambda benchmark, *rest: found if benchmark.module == "pipeline"
                            else real(benchmark, *rest))
        for name, value in ({"only": None, "quick": False} | given).items():
            monkeypatch.setattr(flags.FLAGS[name], "value", value)
        return everything.main([])

    return run


def good(cell):
    return {"numbers": TABLE | {"rows": [["a", cell]]}, "seconds": 1.0, "measured": "2000-01-01"}


def test_what_fails_is_named_and_the_others_are_kept(tmp_path, on_a_gpu, capsys):
    assert on_a_gpu(good("1")) == 1
    assert "1 of 2 benchmarks; failed: bad" in capsys.readouterr().out
    text = (tmp_path / "some_gpu_80gb.md").read_text()
    assert "## Good" in text and "Failed when it was last run" in text and "no_such_module" in text
    kept = json.loads((tmp_path / "some_gpu_80gb.json").read_text())["benchmarks"]
    assert set(kept) == {"good", "bad"} and kept["good"]["numbers"]["rows"] == [["a", "1"]]


def test_results_are_replaced_one_by_one_and_never_by_a_rehearsal_or_a_failure(tmp_path, on_a_gpu):
    def rows():
        return json.loads((tmp_path / "some_gpu_80gb.json").read_text())["benchmarks"]["good"]["numbers"]["rows"]

    on_a_gpu(good("1"), only=["good"])
    on_a_gpu(good("2"), only=["bad"])
    on_a_gpu(good("3"), quick=True)
    assert rows() == [["a", "1"]] and "Failed" in (tmp_path / "some_gpu_80gb.md").read_text()
    assert "|    3 |" in (tmp_path / "some_gpu_80gb_quick.md").read_text()
    on_a_gpu({"failure": "no memory"}, only=["good"])
    assert rows() == [["a", "1"]] and "no memory" in (tmp_path / "some_gpu_80gb.md").read_text()
    on_a_gpu(good("4"), only=["good"])
    assert rows() == [["a", "4"]] and "no memory" not in (tmp_path / "some_gpu_80gb.md").read_text()


def test_what_a_benchmark_draws_and_measured_before_it_failed_is_kept(tmp_path, monkeypatch):
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake" / "benchmark.py").write_text(
        "import json, pathlib, sys\nout = pathlib.Path(sys.argv[1].removeprefix('--out='))\n"
        f"out.write_text('table'); out.with_suffix('.json').write_text(json.dumps({TABLE!r}))\n"
        "out.with_suffix('.png').write_bytes(b'plot')\nsys.exit(1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    real = everything.subprocess.Popen
    monkeypatch.setattr(everything.subprocess, "Popen", lambda command, **given: real(
        [command[0], "-m", "fake.benchmark", *command[3:]], **given))
    found = everything.measure(everything.Benchmark("x"), "cpu", tmp_path / "results" / "cpu_x.png")
    assert found["numbers"] == TABLE and "failure" in found and found["plot"] == "cpu_x.png"
    assert (tmp_path / "results" / "cpu_x.png").read_bytes() == b"plot"
    assert "![x](cpu_x.png)" in everything._part("x", found)


def test_where_each_target_stands_is_said_and_nothing_is_judged_that_was_not_measured():
    of = {"ours": {"seconds": [1.0, 2.0, 9.0], "peak_bytes": 70, "tokens": 1000, "model_flops": 10, "flops": 10,
                   "peak_flops": 100.0},
          "eager": {"seconds": [3.0], "peak_bytes": 100, "tokens": 1000}, "compiled": {"failure": "no compiler"}}
    of["parts"] = of["ours"] | {"title": "arch_zoo, in 4 parts", "seconds": [3.0], "peak_bytes": 50}
    of["ours"]["title"] = "arch_zoo"
    numbers = {"train_step": {"decoder": of}, "start_up": [{"seconds": 20.0}, {"seconds": 6.0}],
               "study_step": {"a": {"waited": 0.001}, "b": {"waited": 0.002}}, "compile_time": {"4, scanned": {}}}
    results = {name: {"numbers": {"numbers": found}} for name, found in numbers.items()}
    results["together"] = {"failure": "no memory"}
    whole, *_ = told = targets.standing(results, "cpu (some), 2 cores")
    assert whole[0] == "GPT-2, 4 × 256 beside torch eager" and told[4:6] == [
        ["GPT-2, 4 × 256, in 4 parts beside torch eager", "≥ 1.4×", "1.00×", "not reached"],
        ["GPT-2, 4 × 256, in 4 parts beside torch eager", "≤ 0.8 of its memory", "0.50", "reached"]]
    rows = [row[1:] for row in told]
    assert rows[:4] == [["≥ 1.4×", "1.50×", "reached"], ["≤ 0.8 of its memory", "0.70", "reached"],
                        ["≥ 1.1×", "", "not measured"], ["≤ 0.8 of its memory", "", "not measured"]]
    assert rows[-4:] == [["≤ 3.0 s", "", "not measured"], ["≤ 3.0 s", "", "not measured"],
                         ["≤ 5.0 s", "6.0 s", "not reached"], ["≤ 1.00%", "0.20%", "reached"]]
    on_a_gpu = targets.standing({"train_step": {"numbers": {"numbers": {"gpt2_small": {"ours": of["ours"]}}}}}, "H200")
    assert on_a_gpu[0][1:] == ["≥ 500,000 tokens/s", "500", "not reached"] and len(on_a_gpu) == 15
    assert {row[-1] for row in on_a_gpu[2:]} == {"not measured"}
    assert [row[0] for row in targets.standing({}, "NVIDIA A100")] == [targets.TARGETS[3].what]


def test_an_unknown_name_is_one_line(monkeypatch):
    monkeypatch.setattr(flags.FLAGS["only"], "value", ["kernel"])
    with pytest.raises(UserError, match=r"--only=kernel: there is none. Did you mean 'kernels'\?"):
        everything.main([])
