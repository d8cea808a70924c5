"""Studies: what must match is solved and asserted, what differs is declared, and a killed study goes on."""

import re
import signal
import subprocess
import sys

import pytest

from arch_zoo.config import DataConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.files import cache_directory, read_json
from arch_zoo.training.timing import time_steps_apart
from experiments.studies import plan
from experiments.studies.config import Arm, Claim, StudyConfig, differing_fields
from experiments.studies.plan import ledger_text, make_plan, short
from tests.runs import ROOT, TINY, TRAINING, environment, finish, many, start, write_corpus

FAMILIES = (Arm("encoder", {"model.architecture": "encoder_only", "objective": "masked_lm"}),
            Arm("decoder", {}),
            Arm("both", {"model.architecture": "encoder_decoder", "objective": "prefix_lm"}))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    corpus = write_corpus(tmp_path_factory.mktemp("corpus") / "text.txt")
    return RunConfig(steps=100, batch_size=8, model=ModelConfig(width=64, depth=8, heads=2, scan=True),
                     optimizer=OptimizerConfig(warmup_steps=5),
                     data=DataConfig(corpus=str(corpus), length=16, cache_dir=str(cache_directory(None) / "test_runs"),
                                     tokenizer=TokenizerConfig(vocab_size=340, sentinels=8)))


@pytest.fixture(scope="module")
def data(base):
    return prepare_data(base.data)


def study_of(base, arms=FAMILIES, varies=("model.architecture", "objective"), **fields):
    return StudyConfig(title="tiny", base=base, arms=arms, varies=varies, **{"reference": "decoder", **fields})


def assert_near(ledgers, quantity, tolerance, reference="decoder"):
    wanted = getattr(ledgers[reference], quantity)
    assert {slug: getattr(ledger, quantity) for slug, ledger in ledgers.items()} == {
        slug: pytest.approx(wanted, rel=tolerance) for slug in ledgers}


# --- what must match ---------------------------------------------------------------------------------------------

def test_equal_tokens_are_solved_by_steps(base, data):
    arms = (Arm("decoder", {}), Arm("large batch", {"batch_size": 24}), Arm("long", {"data.length": 32}))
    solved = make_plan(study_of(base, arms, ("batch_size", "data.length"), match="tokens"), lambda _: data)
    assert {slug: config.steps for slug, config in solved.configs.items()} == {"decoder": 100, "large_batch": 33,
                                                                             "long": 50}
    assert_near(solved.ledgers, "tokens", 0.01)


def test_equal_flops_are_solved_by_steps(base, data):
    unsolved = make_plan(study_of(base, match="steps"), lambda _: data).ledgers
    with pytest.raises(AssertionError):
        assert_near(unsolved, "flops", 0.02)
    solved = make_plan(study_of(base, match="flops"), lambda _: data)
    assert_near(solved.ledgers, "flops", 0.02)
    assert solved.configs["decoder"].steps == 100
    assert {slug: ledger.steps for slug, ledger in solved.ledgers.items()} == {
        slug: config.steps for slug, config in solved.configs.items()}


@pytest.mark.parametrize(("by", "other"), [("width", "depth"), ("depth", "width")])
def test_equal_parameters_are_solved_by_width_or_depth(base, data, by, other):
    arms = (Arm("decoder", {}), Arm("gated", {"model.gated": True}))
    study = study_of(base, arms, ("model.gated",), match="params", match_params_by=by)
    with pytest.raises(AssertionError):
        assert_near(make_plan(study.replace(match="steps"), lambda _: data).ledgers, "params", 0.05)
    solved = make_plan(study, lambda _: data)
    assert_near(solved.ledgers, "params", 0.05)
    assert getattr(solved.configs["gated"].model, by) < getattr(base.model, by)
    assert getattr(solved.configs["gated"].model, other) == getattr(base.model, other)
    assert solved.configs["decoder"] == base


def test_equal_steps_are_the_reference_s_and_equal_seconds_are_measured(base, data, monkeypatch):
    arms = (Arm("decoder", {}), Arm("encoder", {**FAMILIES[0].overrides, "steps": 7}))
    study = study_of(base, arms, ("model.architecture", "objective", "steps"))
    assert make_plan(study.replace(match="steps"), lambda _: data).configs["encoder"].steps == 100

    def time_steps(config, steps):
        return type("Timed", (), {"seconds": [4.0 if config.objective.name == "masked_lm" else 1.0] * steps})

    monkeypatch.setattr(plan, "time_steps_apart", time_steps)
    assert make_plan(study.replace(match="seconds"), lambda _: data).configs["encoder"].steps == 25


def test_what_cannot_be_matched_is_refused_with_how_far_off_it_is(base, data):
    arms = (Arm("decoder", {}), Arm("huge", {"model.mlp_dim": 4096}))
    study = study_of(base.replace(model=base.model.replace(depth=1)), arms, ("model.mlp_dim",), match="params",
                     match_params_by="depth")
    with pytest.raises(UserError, match=r"arm huge: params cannot be matched: .* off; allowed are 5%") as raised:
        make_plan(study, lambda _: data)
    assert "\n" not in str(raised.value)


def test_the_ledger_has_a_row_for_each_arm(base, data):
    lines = ledger_text(make_plan(study_of(base), lambda _: data)).splitlines()
    assert [line.split()[0] for line in lines] == ["arm", "encoder", "decoder", "both"]
    assert all(line.split()[-1] == "100" for line in lines[1:])
    assert [short(number) for number in (4.45e22, 1e18, 999.0)] == ["44.5 Z", "1 E", "999"]


# --- what differs ------------------------------------------------------------------------------------------------

def test_a_difference_that_was_not_declared_is_refused_with_its_name(base):
    with pytest.raises(UserError, match="arms differ in objective, which the study does not declare .*add 'obj"):
        study_of(base, varies=("model.architecture",))
    with pytest.raises(UserError, match="arms differ in model.width, .*decoder: 64; wide: 128"):
        study_of(base, (Arm("decoder", {}), Arm("wide", {"model.width": 128})), ("model.depth", "model.widt"))
    options = (Arm("decoder", {"model.position": "rotary"}), Arm("slow", {"model.position": "rotary",
                                                                          "model.position.theta": 5.0}))
    allowed = study_of(base, options, ("model.position",))
    assert differing_fields(allowed.arm_configs()) == {"model.position.theta": {"decoder": 10_000.0, "slow": 5.0}}


def test_what_a_study_says_of_its_arms_must_be_true(base):
    for arms, fields, message in [
            ((Arm("decoder", {}), Arm("De coder!", {})), {"reference": ""}, None),
            ((Arm("decoder", {}), Arm("Decoder", {})), {}, "two arms have the same name"),
            (FAMILIES, {"reference": "decodr"}, "there is no arm 'decodr'. Did you mean 'decoder'"),
            (FAMILIES, {"claims": (Claim("x", better_arm="encodr"),)}, "there is no arm 'encodr'. Did you mean 'enc"),
            ((Arm("decoder", {"model.dept": 3}),), {}, "arm 'decoder': model.dept: there is no field 'dept'")]:
        if message is None:
            study_of(base, arms, **fields)
            continue
        with pytest.raises(UserError, match=message):
            study_of(base, arms, **fields)


# --- from beginning to end ---------------------------------------------------------------------------------------

CONFIG = """
from arch_zoo.config import *
from experiments.studies.config import *

def get_config():
    base = override(RunConfig(), {base})
    arms = (Arm("plain", {{}}), Arm("broken", {{"optimizer.learning_rate": 1e30}}))
    return StudyConfig(title="tiny", question="Does it go on?", base=base, arms=arms, seeds=2,
                       varies=("optimizer.learning_rate",), suffixes=4, pairs=4, context_tokens=0,
                       fine_tuning=FineTuningConfig(examples=20, test_examples=20, epochs=1, batch_size=10, length=8))
"""


PLANNING = """
import pathlib, sys
import jax
from experiments.studies import running
study = running.program.call_in_file("config", sys.argv[1], "get_config")
running.program.command = lambda: "a command"
jax.config.update("jax_transfer_guard", "disallow_explicit")
cells = running._planned_cells(study, pathlib.Path(sys.argv[2]), running.prepare_data_of(study))
print(len(cells), jax.config.jax_platforms)
"""


def write_config(directory):
    """The file of a study of two arms, of which one cannot be trained."""
    corpus, config = write_corpus(directory / "text.txt"), directory / "tiny.py"
    changes = TINY | {"data.corpus": str(corpus), "data.cache_dir": str(cache_directory(None) / "test_runs")}
    config.write_text(CONFIG.format(base=changes))
    return config


def test_whoever_plans_a_study_takes_no_gpu_and_computes_nothing(tmp_path):
    ended = subprocess.run([sys.executable, "-c", PLANNING, write_config(tmp_path), tmp_path / "study"], cwd=ROOT,
                           text=True, capture_output=True, env=environment() | {"JAX_PLATFORMS": ""})
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1] == "4 cpu"
    recorded = read_json(tmp_path / "study" / "study.json")["environment"]
    assert {"jax", "corpus_sha256"} <= recorded.keys() and "device" not in recorded


@pytest.mark.slow
def test_equal_seconds_are_measured_in_a_process_that_gives_the_device_back(base):
    assert 0 < time_steps_apart(base, steps=1).median < time_steps_apart(base, steps=1).compile_seconds



def test_a_dry_run_says_what_would_run_and_for_how_long_and_needs_no_directory(tmp_path):
    dry, = many([("experiments.study", [f"--config={write_config(tmp_path)}", "--dry_run"])], TRAINING)
    assert dry["code"] == 0, dry["err"]
    for part in ("4 cells: 2 arms × 2 seeds, matched by tokens, compared with plain", "model.width=16, ",
                 "optimizer.learning_rate=2e-3, optimizer.warmup_steps=2", "suffixes=4", "plain: the base ",
                 "broken: optimizer.learning_rate=1e+30 ", "of training and compilation for 4 cells"):
        assert part in " ".join(dry["out"].split()), part
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"tiny.py", "text.txt"}


@pytest.mark.slow
def test_a_killed_study_goes_on_at_its_unfinished_cells_and_names_those_that_fail(tmp_path):
    workdir = tmp_path / "study"
    flags = [f"--config={write_config(tmp_path)}", f"--workdir={workdir}"]
    command = ["-m", "experiments.study", *flags]

    study = start([*command, "--max_parallel=1"])
    while "done in" not in (line := study.stdout.readline()):
        assert line, study.stderr.read()
    assert re.match(r"\[ 1/4\] plain, seed 0 +done in", line)
    study.kill()
    assert study.wait() == -signal.SIGKILL
    cells = {path.parent.parent.name + path.parent.name: path.parent for path in workdir.glob("cells/*/*/cell.json")}
    assert cells.keys() == {"plainseed_0", "plainseed_1", "brokenseed_0", "brokenseed_1"}
    finished = cells["plainseed_0"] / "result.json"
    written, content = finished.stat().st_mtime_ns, read_json(finished)
    assert [path for path in workdir.rglob("result.json")] == [finished]
    assert not (workdir / "report.html").exists()

    study = finish(start(command))
    assert study.returncode == 1, study.stderr
    assert "1 of 4 cells are done already" in study.stdout
    assert (finished.stat().st_mtime_ns, read_json(finished)) == (written, content)
    assert read_json(cells["plainseed_1"] / "result.json")["steps"] == TINY["steps"]
    for seed in (0, 1):
        cell = cells[f"brokenseed_{seed}"]
        assert re.search(rf"broken, seed {seed} +FAILED: .*not finite at step 2; there is no checkpoint", study.stdout)
        assert "not finite at step 2" in read_json(cell / "failed.json")["error"]
        assert not (cell / "result.json").exists()
    assert "report: " in study.stdout and (workdir / "report.html").exists()
    assert "Traceback" not in study.stderr

    other, = many([("experiments.study", [*flags, "--seeds=3"])], TRAINING)
    assert other["code"] == 1
    assert "belongs to another config: seeds (2 there, 3 now)" in other["err"]
