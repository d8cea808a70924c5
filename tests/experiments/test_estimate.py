"""The estimate of a study's time: what is timed, what is scaled, and what the total is of."""

import pytest

from arch_zoo.analysis.ledger import Ledger
from arch_zoo.config import RunConfig
from arch_zoo.settings import override
from experiments.ablations.listing import nominal_data
from experiments.studies import estimate
from experiments.studies.config import StudyConfig, Tuning
from experiments.studies.plan import Plan
from experiments.studies.sweeps import Hyper, make_study, parse_sweep
from tests.toy import tiny_config, toy_vocabulary


def compiled(config, vocabulary):
    """A step that takes as many seconds as its model is deep."""
    return lambda: float(config.model.depth), 10.0


def estimated(*texts) -> dict[str, estimate.ArmTime]:
    study = make_study(RunConfig(), Hyper.product([parse_sweep(text) for text in texts]), {}, max_cells=50)
    return estimate.estimate(plan_of(study), nominal_data, compiled)


def plan_of(study, flops: float = 1e6) -> Plan:
    configs = study.arm_configs()
    return Plan(configs, {slug: Ledger(0, 0, config.model.depth**2 * flops, 0.0, 0, 0, config.steps)
                          for slug, config in configs.items()})


def test_steps_that_are_alike_are_timed_once_and_the_compilation_counted_once():
    times = estimated("model.depth=1,2", "optimizer.learning_rate=1e-3,1e-2")
    assert [(time.step, time.compile, time.how) for time in times.values()] == [
        (1.0, 10.0, "measured"), (1.0, 0.0, "as depth_1_learning_rate_1e_3"),
        (2.0, 10.0, "measured"), (2.0, 0.0, "as depth_2_learning_rate_1e_3")]


def test_of_many_kinds_three_are_timed_and_the_others_scaled_by_flops():
    times = estimated("model.depth=1,2,3,4,5")
    assert [time.how for time in times.values()] == ["measured", "4.00 × depth_1, by FLOPs", "measured",
                                                     "1.78 × depth_3, by FLOPs", "measured"]
    assert times["depth_4"].step == pytest.approx(3.0 * 16 / 9)


@pytest.mark.parametrize(("path", "value", "alike"), [
    ("optimizer.learning_rate", 0.1, True), ("optimizer.weight_decay", 0.3, True), ("steps", 7, True),
    ("model.depth", 2, False), ("model.activation", "silu", False), ("batch_size", 8, False),
    ("optimizer.kind", "sgd", False), ("optimizer.clip_norm", None, False), ("model.mlp_dropout", 0.1, False)])
def test_what_makes_a_step_another_program(path, value, alike):
    assert (estimate.kind_of_step(override(RunConfig(), {path: value})) == estimate.kind_of_step(RunConfig())) == alike


def test_cells_that_share_the_machine_end_one_after_another():
    assert estimate.finished_after([5.0, 3.0, 4.0, 1.0], 2) == 7.0  # 5 + 1, and 3 + 4
    assert estimate.finished_after([5.0, 3.0], 8) == 5.0
    times = {"a": estimate.ArmTime(0.5, 10.0, 100, "measured")}
    text = estimate.estimate_text(times, StudyConfig(), 2, "1 of 2 cores", load=4.0)
    assert "about 1:40 of training and compilation for 3 cells, 2 side by side, each on 1 of 2 cores" in text
    assert "other work ran here while it was timed (load 4.0)" in text
    assert "other work" not in estimate.estimate_text(times, StudyConfig(), 2, "1 of 2 cores", load=0.1)


def test_learning_rates_on_trial_are_cells_too_and_shorter():
    times = {"a": estimate.ArmTime(0.5, 10.0, 100, "measured")}
    study = StudyConfig(tuning=Tuning(rates=(1e-3, 1e-2), share=0.2))
    text = estimate.estimate_text(times, study, 1, "2 of 2 cores", load=0.1)
    assert "about 3:00 of training and compilation for 5 cells" in text  # 10 + 2 × 10 + 3 × 50


def test_a_step_that_takes_long_is_named_instead_of_timed(monkeypatch):
    study = make_study(RunConfig(), parse_sweep("model.depth=1,2"), {}, max_cells=50)
    monkeypatch.setattr(estimate, "peak_flops", lambda devices: 1e12)
    assert estimate.too_long(plan_of(study)) is None
    slug, flops = estimate.too_long(plan_of(study, flops=1e9))
    assert slug == "depth_2" and flops == 4e9 * 32 * 128


def test_made_up_text_is_enough_to_time_a_step():
    config = tiny_config()
    step, compiling = estimate.compiled(config, toy_vocabulary())
    assert step() > 0 and compiling > 0
