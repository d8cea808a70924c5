"""What the report finds in grids of factors, and what it draws for them."""

import math

import matplotlib
import pytest

from arch_zoo.files import read_json, write_json_atomic
from experiments.report import build_report, terminal_summary
from experiments.report.build import results_json
from experiments.report.content import gather
from experiments.report.effects import effects_in_words, effects_table
from experiments.report.figures import draw_plots
from experiments.report.findings import find
from experiments.report.grid import design
from experiments.report.grid_plot import grid_figures
from experiments.report.metrics_plot import metrics_figure
from experiments.report.pareto import told_apart
from experiments.report.plots import PALETTE, STYLE, colours, rendered
from experiments.report.record import load_study
from experiments.report.samples import samples
from tests.experiments.report_studies import make, product

DEPTHS, RATES = [2, 4, 8], [1e-4, 1e-3, 3e-3]


def levels(overrides: dict) -> dict[str, float]:
    """Depth lowers the loss by 0.1 a doubling, and the largest rate by 0.2 more at depth 8; pairs depend on nothing."""
    depth, rate = int(overrides.get("model.depth", 2)), overrides.get("optimizer.learning_rate", 1e-3)
    return {"bits_per_byte": 3 - 0.1 * math.log2(depth) - (0.2 if (depth, rate) == (8, 3e-3) else 0), "pairs": 0.7}


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The content of a 3 × 3 grid's report; to be read only."""
    workdir = make(tmp_path_factory.mktemp("grid"), product(model__depth=DEPTHS, optimizer__learning_rate=RATES),
                   levels, noise=0.002, cost=lambda overrides: 1e11 * overrides["model.depth"])
    return gather(find(load_study(workdir)))


def test_factors_of_a_grid(grid):
    depth, rate = grid.design.factors
    assert grid.design.full and (depth.title, rate.title) == ("depth", "learning rate")
    assert depth.numbers == (2, 4, 8) and not depth.log and rate.log  # 4 times and 30 times
    assert rate.levels == ("0.0001", "0.001", "0.003")


def test_what_an_arm_leaves_is_what_the_base_has(tmp_path):
    arms = [{}, {"model.depth": 4}, {"model.position": "alibi"}, {"model.depth": "4", "model.position": "alibi"}]
    found = design(load_study(make(tmp_path, arms, levels)))
    assert found.full and [factor.levels for factor in found.factors] == [("2", "4"), ("rotary", "alibi")]


def test_settings_that_change_together_are_one_factor(tmp_path):
    arms = [{"model.depth": depth, "model.width": 16 * depth, "objective": objective}
            for depth in (2, 4) for objective in ("causal_lm", "prefix_lm")]
    found = design(load_study(make(tmp_path, arms, levels)))
    assert found.full and [factor.title for factor in found.factors] == ["depth, width", "objective"]
    assert found.factors[0].levels == ("2, 32", "4, 64")


@pytest.mark.parametrize("arms", [product(model__depth=DEPTHS, optimizer__learning_rate=RATES)[:-1],
                                  [{"model.depth": 2}, {"model.position": "alibi"}, {"objective": "prefix_lm"}]])
def test_a_list_is_no_grid(tmp_path, arms):
    content = gather(find(load_study(make(tmp_path, arms, levels))))
    assert not content.design.full and content.effects is None and results_json(content)["effects"] == []


def test_an_undeclared_override_is_no_factor(tmp_path):
    arms = product(model__depth=[2, 4], data__length=[64, 128])
    found = design(load_study(make(tmp_path, arms, levels, varies=["model.depth"])))
    assert [factor.title for factor in found.factors] == ["depth"] and not found.full  # two arms at each depth


def test_known_effects_are_found(grid):
    found = {(one["metric"], *one["factors"]): one for one in results_json(grid)["effects"]}
    depth = found["bits_per_byte", "depth"]
    assert depth["from_to"] == [["2", "8"]] and depth["advantage"] == pytest.approx(0.2 + 0.2 / 3, abs=0.01)
    both = found["bits_per_byte", "depth", "learning rate"]
    assert both["advantage"] == pytest.approx(0.2, abs=0.02) and both["p_holm"] < 0.05
    assert all(found["pairs", name]["p_holm"] > 0.05 for name in ("depth", "learning rate"))
    assert sum(one["share"] for key, one in found.items() if key[0] == "bits_per_byte") == pytest.approx(1)
    words = effects_in_words(grid.effects)
    assert "depth × learning rate" in words and "Minimal pairs: no factor" in words


def test_holm_is_over_the_whole_table(grid):
    raw = [one.tested.p for one in grid.effects.judged]
    assert len(raw) == 6 and min(one.p for one in grid.effects.judged) == pytest.approx(6 * min(raw))


def test_what_cannot_touch_a_metric_is_no_chance_to_correct_for(tmp_path):
    """The same value at every rate, to the bit: its effects are nothing, and the others' p as if it did not vary."""
    workdir = make(tmp_path, product(model__depth=DEPTHS, optimizer__learning_rate=RATES), levels, noise=0.002)
    for result in workdir.glob("cells/*/seed_*/result.json"):
        record = read_json(result)
        depth = read_json(result.parent / "config.json")["model"]["depth"]
        record["metrics"]["pairs"]["value"] = 0.7 + 0.01 * depth + 1e-4 * int(result.parent.name[-1]) * depth
        write_json_atomic(result, record)
    judged = gather(find(load_study(workdir))).effects.judged
    of_pairs = [one for one in judged if one.metric.key == "pairs"]
    assert sorted((one.tested.is_nothing, one.p == 1.0) for one in of_pairs) == [
        (False, False), (True, True), (True, True)]
    counted = [one.tested.p for one in judged if not one.tested.is_nothing]
    assert len(counted) == len(judged) - 2
    assert min(one.p for one in judged) == pytest.approx(len(counted) * min(counted))


def test_the_interval_of_a_marginal_mean_leaves_out_what_seeds_share(grid):
    """Noise that all arms of a seed share is three times an arm's own here; marginal intervals do not know of it."""
    marginal = grid.effects.means["pairs", 1, 0]
    assert marginal.high - marginal.low < 0.3 * min(i.high - i.low for (_, key), i in grid.findings.intervals.items()
                                                    if key == "pairs")


def test_levels_chosen_after_looking_say_so(tmp_path):
    arms = product(model__position=["rotary", "alibi", "none"], model__depth=[2, 4])
    table = effects_table(gather(find(load_study(make(tmp_path, arms, levels)))).effects)
    assert len(table.notes) == 1 and "chosen after looking" in table.notes[0][1]
    assert [bool(row[2].mark) for row in table.rows[:3]] == [True, False, True]


def test_a_metric_that_an_arm_lacks_is_skipped_with_its_reason(tmp_path):
    def some(overrides):
        return {"bits_per_byte": 2.0} | ({"pairs": 0.6} if overrides["model.depth"] == 2 else {})

    content = gather(find(load_study(make(tmp_path, product(model__depth=[2, 4], model__width=[16, 32]), some))))
    assert set(content.effects.seeds) == {"bits_per_byte"}
    assert "Minimal pairs: no seed has a value in every arm" in effects_in_words(content.effects)


def test_one_seed_gets_sizes_and_no_test(tmp_path, undrawn):
    arms = product(model__depth=[2, 4], model__width=[16, 32])
    page = build_report(make(tmp_path, arms, levels, seeds=1)).read_text()
    assert "nothing can be tested on so few seeds" in page and "not tested" in page


PLOTS = {1: {"main_effects"}, 2: {"main_effects", "heat_map"}, 3: {"main_effects", "parallel"}}


@pytest.mark.parametrize("count", PLOTS)
def test_each_number_of_factors_has_its_plot(tmp_path, count):
    factors = {"model__depth": [2, 4], "model__width": [16, 32], "model__position": ["rotary", "alibi"]}
    arms = product(**dict(list(factors.items())[:count]))
    content = gather(find(load_study(make(tmp_path, arms, levels, seeds=2))))
    with matplotlib.rc_context(STYLE):
        figures = grid_figures(content.findings, content.effects, content.design)
        assert set(figures) == PLOTS[count]
        assert all(image for figure in figures.values() for image in rendered(figure).values())


def test_a_long_list_has_parallel_coordinates_and_a_short_one_none(tmp_path, undrawn):
    arms = [{"model.depth": d, "model.width": w} for d, w in ((1, 16), (2, 16), (3, 32), (4, 64), (5, 64), (6, 8))]
    assert "parallel" in draw_plots(gather(find(load_study(make(tmp_path / "long", arms, levels, seeds=1)))))
    short = draw_plots(gather(find(load_study(make(tmp_path / "short", arms[:3], levels, seeds=1)))))
    assert "parallel" not in short and "main_effects" not in short


def test_the_front_holds_what_nothing_beats_at_its_cost(grid):
    by_flops = next(front for front in grid.fronts if (front.cost, front.metric.key) == ("flops", "bits_per_byte"))
    assert [slug.split("_")[1] for slug in by_flops.front] == ["2", "4", "8"]
    assert by_flops.front[-1] == "depth_8_learning_rate_0_003"
    means = [grid.findings.intervals[slug, "bits_per_byte"].mean for slug in by_flops.front]
    assert means == sorted(means, reverse=True)
    assert {front.cost for front in grid.fronts} == {"flops", "params"} and told_apart(grid.fronts) == ["flops"]


def test_a_dearer_arm_that_is_worse_is_behind(tmp_path):
    arms = product(model__depth=[2, 4])
    content = gather(find(load_study(make(
        tmp_path, arms, lambda o: {"bits_per_byte": o["model.depth"], "pairs": 0.7}, noise=0.001,
        cost=lambda o: 1e11 * o["model.depth"]))))
    front = content.fronts[0]
    assert front.front == ("depth_2",) and front.behind["depth_4"].significant
    text = terminal_summary(tmp_path)
    assert "nothing else beats 1\u00a0“depth 2”" in text.replace("\n", " ")


def test_costs_with_other_fronts_are_both_shown(tmp_path):
    arms = product(model__depth=[2, 4])
    made = load_study(make(tmp_path, arms, levels, cost=lambda o: 1e11 * o["model.depth"]))
    ledger = {slug: one | {"params": 10**6} for slug, one in made.record["ledger"].items()}
    ledger["depth_4"]["params"] //= 2
    write_json_atomic(tmp_path / "study.json", made.record | {"ledger": ledger})
    content = gather(find(load_study(tmp_path)))
    assert told_apart(content.fronts) == ["flops", "params"]
    assert {"pareto_flops", "pareto_params"} <= set(draw_plots(content))


def test_without_a_difference_in_cost_there_is_no_front(tmp_path, undrawn):
    content = gather(find(load_study(make(tmp_path, product(model__depth=[2, 4]), levels))))
    assert content.fronts == [] and "Quality against cost" not in build_report(tmp_path).read_text()


def test_many_arms_stay_readable(tmp_path, undrawn):
    """Own colours, small curves that see their like, comparisons folded away, differences with a row for each arm."""
    arms = product(model__depth=list(range(1, 9)), model__width=[16, 32, 64])
    study = load_study(make(tmp_path, arms, levels, seeds=2))
    assert len(set(colours(study).values())) == 24 > len(PALETTE)
    page = build_report(tmp_path).read_text()
    assert "All 46 comparisons" in page and "neither beyond the noise" in page
    assert page.count("<th class=\"number\">model.depth</th>") + page.count("<th>model.depth</th>") == 1
    assert samples(study) == []


def test_values_that_differ_by_orders_of_magnitude_are_on_a_logarithmic_axis(tmp_path):
    def scales(deepest, noise=0.01):
        means = {2: 1.0, 4: 30.0, 8: deepest}
        workdir = make(tmp_path / f"{deepest}_{noise}", product(model__depth=DEPTHS),
                       lambda o: {"bits_per_byte": means[o["model.depth"]], "pairs": 0.7}, noise=noise)
        return [panel.get_xscale() for panel in metrics_figure(find(load_study(workdir))).axes]

    assert scales(500.0) == ["log", "linear"]
    assert scales(50.0) == ["linear", "linear"]
    assert scales(500.0, noise=9.0)[0] == "linear"  # an interval reaches below zero
