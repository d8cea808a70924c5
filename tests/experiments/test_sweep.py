"""Sweeps: what the values become, how combinations are named, and what every mistake gets before anything runs."""

import pytest

from arch_zoo.config import ModelConfig, RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.registry import POSITIONS
from arch_zoo.settings import from_dict, to_dict
from experiments.program import call_in_file
from experiments.studies.config import StudyConfig
from experiments.studies.sweep_names import combination_names, short_ends, shown, told_apart
from experiments.studies.sweeps import Hyper, make_study, parse_sweep
from tests.runs import ROOT, TRAINING, VARIANTS, assert_one_line, finish, many, start, tiny_flags, write_corpus

BASE = RunConfig(model=ModelConfig(position="rotary"))
SWEEP = "experiments.sweep"


def study_of(*texts, base=BASE, max_cells=200, **changes) -> StudyConfig:
    parts = [parse_sweep(text) if isinstance(text, str) else text for text in texts]
    return make_study(base, Hyper.product(parts), changes, max_cells)


def overrides(study) -> list[dict]:
    return [arm.overrides for arm in study.arms]


# --- the algebra -------------------------------------------------------------------------------------------------

A, B = Hyper.sweep("a", [1, 2]), Hyper.sweep("b", [3, 4])


def test_products_zips_and_chains():
    assert Hyper.product([A, B]) == [{"a": 1, "b": 3}, {"a": 1, "b": 4}, {"a": 2, "b": 3}, {"a": 2, "b": 4}]
    assert Hyper.zipit([A, B]) == [{"a": 1, "b": 3}, {"a": 2, "b": 4}]
    assert Hyper.chainit([A, B]) == [{"a": 1}, {"a": 2}, {"b": 3}, {"b": 4}]
    c = Hyper.sweep("c", [5])
    assert Hyper.product([Hyper.product([A, B]), c]) == Hyper.product([A, Hyper.product([B, c])])
    assert len(Hyper.chainit([Hyper.product([A, B]), Hyper.zipit([A, B]), c])) == 7


@pytest.mark.parametrize(("wrong", "message"), [
    (lambda: Hyper.sweep("a", []), "a: the list of values is empty"),
    (lambda: Hyper.sweep("a", 3), r"sweep\('a', …\) needs a list of values, got 3"),
    (lambda: Hyper.sweep("a", "2,4"), "needs a list of values, got '2,4'"),
    (lambda: Hyper.sweep("a", [1, 2, 1]), "a: the value 1 is given twice"),
    (lambda: Hyper.sweep(("a", "b"), [(1, 2)]), "needs the path of one field; zipit"),
    (lambda: Hyper.chainit([[{("a", "b"): 1}]]), "is a list of combinations"),
    (lambda: Hyper.product([A, A]), "a is swept twice in one product"),
    (lambda: Hyper.zipit([A, Hyper.product([B, A[:1]])]), "a is swept twice in one zipit"),
    (lambda: Hyper.zipit([A, B[:1]]), "zipit needs parts of equal length, got 2 of a, 1 of b"),
    (lambda: Hyper.product(A), "a part of product, .* is a list of combinations; got {'a': 1}"),
    (lambda: Hyper.chainit([]), "chainit needs a list of parts, e.g. "),
    (lambda: Hyper.chainit([A, []]), "it is empty"),
    (lambda: Hyper.product([Hyper.sweep(f"a{i}", range(10)) for i in range(6)]), "1,000,000 combinations, more than"),
])
def test_what_is_no_algebra_is_refused(wrong, message):
    with pytest.raises(UserError, match=message):
        wrong()


# --- values and names --------------------------------------------------------------------------------------------

def test_texts_are_parsed_by_the_type_of_their_field():
    study = study_of("model.depth=2, 4", "optimizer.learning_rate=1e-3,1", "model.kv_heads=none,2")
    assert overrides(study)[:2] == [{"model.depth": 2, "optimizer.learning_rate": 0.001, "model.kv_heads": kv}
                                    for kv in (None, 2)]
    assert isinstance(overrides(study)[2]["optimizer.learning_rate"], float)
    assert [arm.name for arm in study.arms][1] == "depth=2, learning_rate=1e-3, kv_heads=2"
    assert overrides(study_of("model.gated=true,0")) == [{"model.gated": True}, {"model.gated": False}]
    assert overrides(study_of("model.position=none,alibi")) == [{"model.position": "none"}, {"model.position": "alibi"}]


def test_a_value_with_commas_stands_in_brackets():
    study = study_of("model.windows=[],[0],[0,128]")
    assert overrides(study) == [{"model.windows": []}, {"model.windows": [0]}, {"model.windows": [0, 128]}]
    assert [config.model.windows for config in study.arm_configs().values()] == [(), (0,), (0, 128)]
    with pytest.raises(UserError, match=r"model.windows: holds several values: put each choice in brackets"):
        study_of("model.windows=0,128")
    with pytest.raises(UserError, match=r"model.depth: expected int, got '2,3'"):
        study_of("model.depth=[2,3],4")
    for path in ("model.depth", "model.kv_heads", "objective"):
        with pytest.raises(UserError, match=rf"{path}: holds one value, and \[\] is the empty list"):
            study_of(f"{path}=[]")
    with pytest.raises(UserError, match=r"model.dept: there is no field 'dept' here. Did you mean 'depth'\?$"):
        study_of("model.dept=[]")


def test_files_may_give_values_and_variants():
    rotary = POSITIONS.get("rotary")
    positions = Hyper.sweep("model.position", [rotary(), rotary(theta=500), "none"])
    study = study_of(positions, Hyper.sweep("model.windows", [(0, 8)]))
    assert [arm.name for arm in study.arms] == ["position=rotary(theta=1e4)", "position=rotary(theta=500)",
                                                "position=none"]
    configs = list(study.arm_configs().values())
    assert [getattr(config.model.position, "theta", None) for config in configs] == [10_000.0, 500.0, None]
    assert {config.model.windows for config in configs} == {(0, 8)}


def test_a_study_is_the_same_when_it_is_read_back():
    """Otherwise a sweep that is started again would find that its directory belongs to another one."""
    theta = Hyper.sweep("model.position", [POSITIONS.get("rotary")(theta=500)])
    study = study_of("model.windows=[],[0,128]", "optimizer.learning_rate=1e-3,1", theta)
    assert from_dict(StudyConfig, to_dict(study)) == study
    assert not [v for arm in to_dict(study)["arms"] for v in arm["overrides"].values() if isinstance(v, tuple)]


def test_names_are_the_shortest_ends_that_tell_apart():
    assert list(short_ends(["model.depth", "model.encoder_depth", "a.rate", "b.rate", "objective.parts.0"]).values()) \
        == ["depth", "encoder_depth", "a.rate", "b.rate", "parts.0"]
    assert combination_names([{"m.a": 1, "b": 7}, {"m.a": 2, "b": 7}]) == ["a=1", "a=2"]
    assert combination_names([{"m.a": 1}, {"b": 7}, {}]) == ["a=1", "b=7", "base"]
    assert combination_names([{"x": "data/en/text.txt"}, {"x": "data/de/text.txt"}, {"x": "books"}]) == [
        "x=en/text.txt", "x=de/text.txt", "x=books"]
    assert [shown(value) for value in (1e-3, 0.1, 1e4, 100.0, 12345.678, 3.3e-4, -0.5, 0.0, 7, True, None, (1, 2))] == [
        "1e-3", "0.1", "1e4", "100", "12345.678", "3.3e-4", "-0.5", "0", "7", "true", "none", "[1,2]"]


def test_every_number_in_a_name_is_read_as_itself():
    for value in (1 / 3, 1e-300, 6.02e23, 2e-5, 123456789.0, 0.1 + 0.2):
        assert float(shown(value)) == value


def test_names_never_share_a_directory():
    assert told_apart(["x=1", "x=-1", "y"]) == ["x=1", "x=-1 #2", "y"]
    with pytest.raises(UserError, match="too many for a directory"):
        told_apart(["x" * 250])


# --- the study ---------------------------------------------------------------------------------------------------

def test_what_is_swept_varies_and_the_base_is_the_reference():
    study = study_of("model.depth=2,4", "model.position=none,rotary", seeds="2")
    assert (study.varies, study.match, study.seeds) == (("model.depth", "model.position"), "steps", 2)
    assert study.reference_arm == "depth_4_position_rotary"
    assert study_of("model.depth=2,3").reference_arm == "depth_2"
    assert study_of("model.depth=2,4", reference="depth_2").reference_arm == "depth_2"
    assert study.title == "Sweep of depth and position" and "model.position" in study.question
    assert study_of("model.depth=2,4", title="T", **{"fine_tuning.epochs": "5"}).fine_tuning.epochs == 5


@pytest.mark.parametrize(("texts", "changes", "message"), [
    (["model.depth=2,three"], {}, "^model.depth: expected int, got 'three'"),
    (["optimizer.learning_rate=1e-3,0.001"], {}, "the combination learning_rate=1e-3 is there twice"),
    (["steps=10,20"], {}, "sweeping steps contradicts --match=steps, which sets steps .*use --match=none"),
    (["steps=10,20"], {"match": "tokens"}, "sweeping steps contradicts --match=tokens"),
    (["model.width=64,128"], {"match": "params"}, "sweeping model.width contradicts --match=params"),
    (["model.depth=2,4"], {"match": "params", "match_params_by": "depth"}, "sweeping model.depth contr"),
    (["seed=1,2"], {}, "seed cannot be swept: every combination is run with the seeds of --seeds"),
    (["model.width=96,128", "model.heads=4,5"], {},
     r"the combination width=96, heads=5 is refused: model.width: 96 is not .* \(and so on: 2 in all\)"),
    (["model.position=rotary,alibi", "model.position.theta=1,2"], {},
     "the combination model.position=alibi, model.position.theta=1: model.position.theta: there is no field"),
    (["optimizer.learning_rate=1e-3,1"], {"tuning.rates": "0.1,1"}, "contradicts --study.tuning.rates"),
    (["model=a,b"], {}, "model: is a group of fields"),
    (["model.depth=2,4"], {"base.steps": "3"}, "--study.base.steps: the sweep sets it; fields of the run are --config"),
    (["model.depth=2,4"], {"reference": "depth_5"}, "there is no arm 'depth_5'. Did you mean 'depth_"),
])
def test_what_cannot_be_a_study_is_refused(texts, changes, message):
    with pytest.raises(UserError, match=message) as raised:
        study_of(*texts, **changes)
    assert "\n" not in str(raised.value)


def test_what_is_swept_may_be_what_another_match_sets():
    assert len(study_of("steps=10,20", match="none").arms) == len(study_of("steps=10,20", match="params").arms) == 2
    assert len(study_of("model.width=64,128", match="params", match_params_by="depth").arms) == 2


def test_two_ways_to_the_same_run_are_refused():
    chain = Hyper.chainit([Hyper.sweep("model.depth", [2, 4]), Hyper.sweep("steps", [BASE.steps])])
    with pytest.raises(UserError, match="the combinations depth=4 and steps=1000 are the same run"):
        study_of(chain, match="params")
    with pytest.raises(UserError, match="the combinations change nothing"):
        study_of([{}])


def test_cells_are_counted_before_they_are_made():
    assert len(study_of("model.depth=1,2,3,4", max_cells=12).arms) == 4
    with pytest.raises(UserError, match="4 combinations × 3 seeds = 12 cells, more than --max_cells=11"):
        study_of("model.depth=1,2,3,no_number", max_cells=11)
    with pytest.raises(UserError, match=r"4 combinations × \(3 seeds \+ 2 learning rates on trial\) = 20 cells"):
        study_of("model.depth=1,2,3,4", max_cells=12, **{"tuning.rates": "0.1,1"})


def test_the_example_is_a_sweep():
    combinations = call_in_file("sweep_file", str(ROOT / "configs" / "sweeps" / "positions.py"), "get_hyper", Hyper)
    study = study_of(combinations, base=call_in_file("config", str(ROOT / "configs" / "base.py"), "get_config"))
    assert len(study.arms) == 9 and study.reference_arm == "position_learned_learning_rate_2e_3"


# --- the program -------------------------------------------------------------------------------------------------

MISTAKES = {
    "nothing": ([], "nothing to sweep: --sweep='FIELD=VALUE,VALUE' or --sweep_file=FILE is required"),
    "unknown field": (["--sweep=model.dept=2,4"],
                      "--sweep=model.dept=2,4: model.dept: there is no field 'dept' here. Did you mean 'depth'?\n"),
    "a field of a group": (["--sweep=depth=2,4"], "there is no field 'depth' here. Did you mean 'model.depth'?"),
    "unknown in a file": (["--sweep_file=D/unknown.py"], "D/unknown.py: model.dept: there is no field 'dept' here."),
    "an empty list": (["--sweep=model.depth=[]"], "model.depth: holds one value, and [] is the empty list"),
    "two seeds": (["--sweep=model.depth=2,4", "--seeds=3", "--study.seeds=1"],
                  "--seeds and --study.seeds set the same field; give one of them"),
    "two matches": (["--sweep=model.depth=2,4", "--match=none", "--study.match=params"],
                    "--match and --study.match set the same field; give one of them"),
    "no seeds": (["--sweep=model.depth=2,4", "--seeds=0"], "seeds: 0 is out of range: at least 1"),
    "unknown metric": (["--sweep=model.depth=2,4", "--study.metrics=bits", "--dry_run"],
                       ("study.metrics: expected any of: bits_per_byte, ", "Did you mean 'bits_per_byte'")),
    "an option of another engine": (["--sweep=model.depth=2,4", "--partition=gpu"], "--partition needs --engine=slurm"),
    "wrong type": (["--sweep=model.depth=2,four"], "model.depth: expected int, got 'four'"),
    "no values": (["--sweep=model.depth"], "--sweep=model.depth: a field and its values are needed, e.g."),
    "empty": (["--sweep=model.depth="], "--sweep=model.depth=: the list of values is empty"),
    "an empty value": (["--sweep=model.depth=2,,4"], "there is an empty value; none is written none"),
    "brackets": (["--sweep=model.windows=[0,[1]"], "--sweep=model.windows=[0,[1]: brackets do not match"),
    "value twice": (["--sweep=model.depth=2,4,2"], "model.depth: the value '2' is given twice"),
    "path twice": (["--sweep=model.depth=2", "--sweep=model.depth=4"], "model.depth is swept twice in one product"),
    "refused": (["--sweep=model.heads=4,3"], "the combination heads=3 is refused: model.width: 128 is not"),
    "too many": (["--sweep=model.depth=2,4", "--seeds=3", "--max_cells=5"], "2 combinations × 3 seeds = 6 cells, more"),
    "match": (["--sweep=steps=2,4", "--match=flops"], "sweeping steps contradicts --match=flops"),
    "unknown match": (["--sweep=model.depth=2,4", "--match=token"], "match: expected one of: tokens, flops"),
    "study's field": (["--sweep=model.depth=2", "--study.pears=2"], "study.pears: there is no field 'pears' here. Did "
                                                                    "you mean 'pairs'"),
    "study's value": (["--sweep=model.depth=2", "--study.pairs=no"], "study.pairs: expected int, got 'no'"),
    "a study": (["--config=configs/studies/families.py", "--sweep=model.depth=2"], "this program needs a RunConfig"),
    "no file": (["--sweep_file=configs/sweeps/position.py"], "no such file. Did you mean 'configs/sweeps/positions"),
    "no get_hyper": (["--sweep_file=D/config.py"], "D/config.py: it defines no get_hyper(…)"),
    "nothing returned": (["--sweep_file=D/nothing.py"], "what get_hyper(hyper) returns is a list of combinations; got"),
    "zipit": (["--sweep_file=D/zipit.py"], "D/zipit.py: zipit needs parts of equal length, got 2 of a, 3 of b"),
    "a typo": (["--sweep_file=D/typo.py"], "D/typo.py:1: AttributeError: "),
    "an error": (["--sweep_file=D/error.py"], "D/error.py:3: ZeroDivisionError: integer div"),
    "no workdir": (["--sweep=model.depth=2,4"], "--workdir=DIR is required"),
}
FILES = {
    "config.py": "def get_config(): pass",
    "nothing.py": "def get_hyper(hyper): hyper.sweep('model.depth', [2])",
    "zipit.py": "def get_hyper(hyper): return hyper.zipit([hyper.sweep('a', [1, 2]), hyper.sweep('b', [1, 2, 3])])",
    "unknown.py": "def get_hyper(hyper): return hyper.sweep('model.dept', [2, 4])",
    "error.py": "def get_hyper(hyper):\n    n = 0\n    return hyper.sweep('model.depth', [1 // n])",
    "typo.py": "def get_hyper(hyper): return hyper.produkt([])",
}


@pytest.fixture(scope="module")
def mistakes(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mistakes")
    for name, text in FILES.items():
        (directory / name).write_text(text)
    workdir = directory / "study"
    commands = [(SWEEP, [*(a.replace("=D/", f"={directory}/") for a in arguments),
                         *([f"--workdir={workdir}"] if name != "no workdir" else [])])
                for name, (arguments, _) in MISTAKES.items()]
    ended = many(commands, VARIANTS)
    assert not workdir.exists()
    return {name: {**process, "err": process["err"].replace(f"{directory}/", "D/")}
            for name, process in zip(MISTAKES, ended, strict=True)}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_before_anything_runs(mistakes, case):
    assert_one_line(mistakes[case], MISTAKES[case][1])
    assert mistakes[case]["out"] == ""
    assert not {"orbax", "tensorboardX", "tensorflow_datasets"} & set(mistakes[case]["imported"])


def small(tmp_path, **changes) -> list[str]:
    return tiny_flags(write_corpus(tmp_path / "text.txt"), tmp_path / "study", **changes)


@pytest.mark.slow
def test_a_sweep_runs_as_a_study_and_goes_on(tmp_path):
    flags = [*small(tmp_path, steps=4), "--sweep=model.windows=[],[0,4]", "--seeds=1",
             "--study.suffixes=4", "--study.pairs=4", "--study.context_tokens=0", "--study.fine_tuning.examples=20",
             "--study.fine_tuning.test_examples=20", "--study.fine_tuning.epochs=1", "--study.fine_tuning.length=8"]
    first = finish(start(["-m", SWEEP, *flags]))
    assert first.returncode == 0, first.stderr
    record = read_json(tmp_path / "study" / "study.json")
    assert [arm["overrides"] for arm in record["arms"]] == [{"model.windows": []}, {"model.windows": [0, 4]}]
    assert record["match"] == "steps" and "report: " in first.stdout
    again, status = many([(SWEEP, flags), ("experiments.status", [str(tmp_path / "study")])], TRAINING)
    assert again["code"] == 0 and "2 of 2 cells are done already" in again["out"]
    assert "2 cells: 2 done" in status["out"] and "windows=[0,4]" in status["out"]
