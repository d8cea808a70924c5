"""A paper's table beside ours, and what else a record may carry: stand-ins, optima, preparations, tuned rates."""

import json

import pytest

from arch_zoo.files import write_json_atomic
from experiments.report import build_report, terminal_summary
from experiments.report.build import results_json
from experiments.report.config_tables import rates_in_words, rates_table
from experiments.report.content import gather
from experiments.report.figures import draw_plots
from experiments.report.findings import find
from experiments.report.page import html_page
from experiments.report.paper import paper_columns, paper_table
from experiments.report.record import load_study
from experiments.report.tables import results_table
from tests.experiments.report_studies import make, product

ARMS = product(model__position=["rotary", "alibi", "none"])
ROTARY, ALIBI, NONE = (f"position_{name}" for name in ("rotary", "alibi", "none"))
LEVELS = {"rotary": 2.0, "alibi": 1.9, "none": 2.4}
PAPER = {"source": "A paper, Table 2", "columns": ["Bits per byte"], "baseline": ROTARY, "verified": False,
         "rows": [{"arm": ROTARY, "values": {"Bits per byte": 1.0}}, {"arm": ALIBI, "values": {"Bits per byte": 0.9}},
                  {"arm": "t5", "name": "T5 bias", "values": {"Bits per byte": 1.1}},
                  {"arm": NONE, "values": {"Bits per byte": 1.2}}]}


def study(workdir, **record):
    return load_study(make(workdir, ARMS, lambda o: {"bits_per_byte": LEVELS[o["model.position"]], "pairs": 0.7},
                           noise=0.001, **record))


def test_gaps_are_shares_of_their_own_range(tmp_path):
    """The paper's arms lie at 0, +0.1, −0.1 and −0.2 of a table whose worst is −0.2; ours at 0, +0.1 and −0.4."""
    [column] = paper_columns(study(tmp_path, paper=PAPER))
    shares = {row.arm: (row.share, row.our_share) for row in column.rows}
    assert column.metric.key == "bits_per_byte"
    assert {arm: paper for arm, (paper, _) in shares.items()} == pytest.approx(
        {ROTARY: 0, ALIBI: 0.5, "t5": -0.5, NONE: -1})
    assert shares[ALIBI][1] == pytest.approx(0.25, abs=0.02) and shares[NONE][1] == -1 and shares["t5"][1] is None


def test_the_range_is_the_furthest_gap_where_nothing_is_worse(tmp_path):
    rows = [{"arm": NONE, "values": {"Bits per byte": 3.0}}, {"arm": ALIBI, "values": {"Bits per byte": 1.0}},
            {"arm": ROTARY, "values": {"Bits per byte": 2.5}}]
    [column] = paper_columns(study(tmp_path, paper=PAPER | {"baseline": NONE, "rows": rows}))
    assert [row.share for row in column.rows] == [0, 1, 0.25]


def test_another_metric_may_stand_beside_and_point_the_other_way(tmp_path):
    paper = PAPER | {"columns": ["BLEU"], "beside": {"BLEU": "bits_per_byte"}, "deviations": {"BLEU": 0.24}, "rows": [
        {"arm": ROTARY, "values": {"BLEU": 27.0}}, {"arm": NONE, "values": {"BLEU": 25.0}}]}
    content = gather(find(study(tmp_path / "beside", paper=paper)))
    assert [row.gap for row in content.paper[0].rows] == [0, -2] and content.paper[0].rows[1].our_share == -1
    head = paper_table(content.findings, content.paper[0]).head
    assert head[1].small == "sd of one run 0.24" and head[4].small == "Bits per byte, bits/byte"
    unknown = paper_columns(study(tmp_path / "unknown", paper=paper | {"beside": {}}))[0]
    assert unknown.metric is None and {row.our_share for row in unknown.rows} == {None}


def test_numbers_from_memory_are_marked_everywhere(tmp_path):
    study(tmp_path, paper=PAPER)
    page = build_report(tmp_path).read_text()
    assert page.count("<sup>[M]</sup>") == 4 + 1 and page.count("from memory of the literature, not verified") == 1
    assert "1 [M]" in (tmp_path / "report.md").read_text() and "0.9 [M]" in terminal_summary(tmp_path)
    assert "not run here" in page and (tmp_path / "plots" / "paper.png").exists()
    verified = study(tmp_path / "verified", paper=PAPER | {"verified": True})
    content = gather(find(verified))
    assert "[M]" not in html_page(content, plots={}) and paper_columns(verified)[0].rows[0].verified
    assert results_json(content)["paper"][0]["rows"][3]["share_of_range"] == pytest.approx(-1)


def test_old_records_have_none_of_it(tmp_path, undrawn):
    content = gather(find(study(tmp_path)))
    page = build_report(tmp_path).read_text()
    assert content.paper == [] and rates_table(content.findings.study) is None
    for words in ("paper’s numbers", "Optimum", "optimum", "Learning rates that", "Not the protocol", "scale</p>"):
        assert words not in page


def test_a_stand_in_and_a_scale_are_said_at_the_top(tmp_path, undrawn):
    study(tmp_path, stand_in="WMT <2014> was not given.", scale="bench")
    page = build_report(tmp_path).read_text()
    assert page.index("WMT &lt;2014&gt; was not given.") < page.index("The answer") and "bench scale" in page
    assert terminal_summary(tmp_path).startswith("Stand-in: WMT <2014>")
    assert "WMT <2014> was not given." in (tmp_path / "report.md").read_text()


def test_the_distance_from_a_known_optimum(tmp_path):
    table = results_table(find(study(tmp_path, optimum={"bits_per_byte": 1.5, "pairs": 0.9})))
    assert [entry.text for entry in table.head][2::2] == ["Above the optimum", "Below the optimum"]
    above, below = table.rows[0][2], table.rows[0][4]
    assert float(above.text) == pytest.approx(0.5, abs=0.02) and float(below.text) == pytest.approx(0.2, abs=0.02)
    low, high = json.loads(below.small)
    assert low < float(below.text) < high
    assert [entry.text for entry in table.rows[-1]] == ["Optimum", "1.500", "–", "0.900", "–"]


def prepared(workdir):
    """A study whose first arm, the reference by default, only prepares others."""
    made = study(workdir)
    arms = [made.record["arms"][0] | {"preparation": True}, *made.record["arms"][1:]]
    write_json_atomic(workdir / "study.json", made.record | {"arms": arms})
    return load_study(workdir)


def test_an_arm_that_prepares_others_costs_and_is_not_compared(tmp_path, undrawn):
    found = prepared(tmp_path)
    content = gather(find(found))
    assert found.reference == ALIBI and ROTARY not in content.design.arms
    assert {slug for slug, _ in content.findings.intervals} == {ALIBI, NONE}
    assert {c.first for c in content.findings.comparisons} == {NONE}
    page = build_report(tmp_path).read_text()
    assert "2 arms" in page and "only prepare others" in page
    assert page.count("position rotary</div>") == 2  # the ledger, and the config that differs
    assert len(draw_plots(content)) == 2             # the metrics, and the curves of all three


def tune(workdir, rates: dict[tuple[str, int], float], tried: list[float]):
    made = study(workdir, tuning={"rates": tried, "share": 0.25})
    for (slug, seed), rate in rates.items():
        path = workdir / "cells" / slug / f"seed_{seed}" / "config.json"
        write_json_atomic(path, json.loads(path.read_text()) | {"optimizer": {"learning_rate": rate}})
    assert made.record["tuning"]
    return load_study(workdir)


def test_the_rates_that_were_chosen_and_a_warning_at_the_edge(tmp_path, undrawn):
    found = tune(tmp_path, {(ALIBI, 1): 3e-3}, [3e-4, 1e-3, 3e-3])
    table, words = rates_table(found), rates_in_words(found)
    assert [entry.text for entry in table.rows[1][1:]] == ["0.001", "0.003", "0.001"]
    assert [bool(entry.mark) for row in table.rows for entry in row[1:]] == [False] * 4 + [True] + [False] * 4
    assert "at 25% of its steps" in words and "edge of the grid for “position alibi”:" in words
    (tmp_path / "cells" / NONE / "seed_0" / "config.json").unlink()
    assert rates_table(load_study(tmp_path)).rows[2][1].text == "–"
    assert "Learning rates that were chosen" in build_report(tmp_path).read_text()


def test_no_warning_where_the_best_rate_is_inside(tmp_path):
    assert "edge" not in rates_in_words(tune(tmp_path, {}, [3e-4, 1e-3, 3e-3]))
