"""The estimate of a study's time: what is timed, what is scaled, and what the total is of."""

import pytest

from arch_zoo.analysis.ledger import Ledger
from arch_zoo.config import RunConfig
from arch_zoo.settings import override
from experiments.studies import estimate
from experiments.studies.plan import Plan
from experiments.studies.sweeps import Hyper, make_study, parse_sweep


class Step:
    """A compiled step that takes as many seconds as its model is deep."""

    compile_seconds = 10.0

    def __init__(self, config, data):
        self.run = lambda: float(config.model.depth)


def estimated(*texts) -> dict[str, estimate.ArmTime]:
    study = make_study(RunConfig(), Hyper.product([parse_sweep(text) for text in texts]), {}, max_cells=50)
    configs = study.arm_configs()
    ledgers = {slug: Ledger(0, 0, config.model.depth**2 * 1e6, 0.0, 0, 0, config.steps)
               for slug, config in configs.items()}
    return estimate.estimate(Plan(configs, ledgers), lambda config: None, Step)


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
    text = estimate.estimate_text(times, 3, 2, "1 of 2 cores", load=4.0)
    assert "about 1:40 of training and compilation for 3 cells, 2 side by side, each on 1 of 2 cores" in text
    assert "other work ran here while it was timed (load 4.0)" in text
    assert "other work" not in estimate.estimate_text(times, 3, 2, "1 of 2 cores", load=0.1)
