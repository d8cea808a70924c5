"""Gradients before the first step: how they depend on the depth (Xiong et al. 2020, Theorem 1), and their profile."""

import functools

import numpy as np
import pytest

from arch_zoo.config import EvaluationConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.training.setup import Setup
from experiments.report.build import build_report
from experiments.report.profiles_plot import profiles_figure
from experiments.report.record import load_study
from experiments.studies.initial_gradient import block_norms, measure
from experiments.studies.metrics import Evaluated
from tests.evaluation.toy_text import documents
from tests.experiments.report_studies import make, product
from tests.toy import tiny_config

DEPTHS = (2, 6, 16)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """run(depth, placement, shrunken): an untrained run of Xavier's initialisation; shrunken: branches as GPT-2's."""
    folder = tmp_path_factory.mktemp("gradients")
    (folder / "text.txt").write_text("\n\n".join(documents(0, 100)))

    @functools.cache
    def run(depth, placement, shrunken=False) -> Evaluated:
        config = tiny_config(
            model__depth=depth, model__placement=placement, model__initializer="xavier_uniform", model__width=32,
            model__scale_residual_init=shrunken, model__scan=True, data__length=24, data__tokenizer__vocab_size=340,
            data__corpus=str(folder / "text.txt"), data__cache_dir=str(folder / "cache"))
        return Evaluated(Setup.of(config, prepare_data(config.data)), None, EvaluationConfig())

    return run


def power_of_depth(untrained, placement, shrunken=False) -> float:
    """The p for which the norm of the last block's gradient goes as depth^p, by least squares over DEPTHS."""
    last = [block_norms(untrained(depth, placement, shrunken))[-1] for depth in DEPTHS]
    return np.polyfit(np.log(DEPTHS), np.log(last), 1)[0]


def test_the_last_gradient_falls_with_the_root_of_the_depth_only_where_norms_come_before(untrained):
    """Theorem 1: O(d √(ln d)) with norms after the branches, O(d √(ln d / L)) with norms before.

    It falls since what the last norm reads grows with L. Where branches begin smaller the deeper the stack is, as
    GPT-2's do, that does not grow, and the gradient must not fall.
    """
    assert power_of_depth(untrained, "pre") == pytest.approx(-0.5, abs=0.2)
    assert power_of_depth(untrained, "post") == pytest.approx(0, abs=0.25)
    assert power_of_depth(untrained, "pre", shrunken=True) == pytest.approx(0, abs=0.25)


def test_the_whole_profile_is_kept(untrained):
    run = untrained(2, "pre")
    found, norms = measure(run), block_norms(run)
    assert found["initial_gradient/last"]["profile"] == norms.tolist() and len(norms) == 2
    assert found["initial_gradient/ratio"]["value"] == norms[1] / norms[0]


GRADIENT = {"key": "initial_gradient/last", "title": "First gradient", "better": "lower", "unit": "norm"}


def test_reports_draw_profiles_where_there_are_any(tmp_path):
    workdir = make(tmp_path, product(depth=[2, 4]), lambda arm: {GRADIENT["key"]: 1.0}, metrics=[GRADIENT])
    assert profiles_figure(load_study(workdir)) is None
    for seed, scale in enumerate((1.0, 2.0, 3.0)):
        result = read_json(path := workdir / "cells" / "depth_2" / f"seed_{seed}" / "result.json")
        result["metrics"][GRADIENT["key"]]["profile"] = [4 * scale, scale]
        write_json_atomic(path, result)
    [panel] = profiles_figure(load_study(workdir)).axes
    [line] = panel.lines  # of the arm that has one
    assert line.get_xydata().tolist() == [[1, 8], [2, 2]] and panel.get_yscale() == "log"
    build_report(workdir)
    assert (workdir / "plots" / "profiles.png").exists()
    assert "plots/profiles.png" in (workdir / "report.md").read_text()
    assert "Block by block" in (workdir / "report.html").read_text()
