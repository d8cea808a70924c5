"""Two studies side by side: what is matched, how it is tested, and what is refused."""

import json
import pathlib

import pytest

from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic
from experiments.report.record import load_study
from experiments.report.side_by_side import put_side_by_side
from experiments.report.side_by_side_page import (
    fields_in_words,
    fields_table,
    how_tested,
    in_words,
    ledgers,
    warnings,
)
from tests.experiments.report_studies import LOSS, SCORE, make, product
from tests.runs import assert_one_line, many

COMPARING = ("experiments.report.record", "experiments.report.side_by_side_page", "matplotlib.figure")
ARMS = product(model__position=["rotary", "alibi", "none"])


def levels(better: float = 0.0):
    return lambda overrides: {"bits_per_byte": 2.0 - better, "pairs": 0.7}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Studies: before; after, better by 0.1 with other steps and arms; others that do not fit. To be read only."""
    home = tmp_path_factory.mktemp("studies")
    make(home / "before", ARMS, levels(), seeds=4, noise=0.003)
    make(home / "after", [*ARMS[:2], {"model.position": "t5"}], levels(0.1), seeds=4, noise=0.003, salt="after",
         cost=lambda _: 2e12)
    change(home / "after", lambda config: config.update(steps=200))
    make(home / "elsewhere", product(model__depth=[2, 4]), levels())
    make(home / "unmeasured", ARMS, levels(), metrics=())
    (home / "nothing").mkdir()
    return home


def change(workdir: pathlib.Path, do) -> None:
    record = json.loads((workdir / "study.json").read_text())
    for config in record["configs"].values():
        do(config)
    write_json_atomic(workdir / "study.json", record)


def pair(home, b="after", a="before"):
    return put_side_by_side(load_study(home / a), load_study(home / b))


def test_arms_are_matched_by_name_and_seeds_paired(home):
    found = pair(home)
    assert found.arms == ("position_rotary", "position_alibi")
    assert found.only == (("position_none",), ("position_t5",))
    loss = [one for one in found.differences if one.metric.key == "bits_per_byte"]
    assert all(one.seeds == (0, 1, 2, 3) and one.unpaired_because == "" for one in loss)
    assert all(one.tested.mean == pytest.approx(0.1, abs=0.01) and one.significant for one in loss)  # lower is better
    assert "B is better on “position rotary” and “position alibi”, beyond the noise" in in_words(found)
    assert "paired by seed" in how_tested(found) and "Welch" not in how_tested(found)
    assert warnings(found)[0] == "Only in A: “position none”." and warnings(found)[1] == "Only in B: “position t5”."


def test_fields_that_differ_are_listed_once(home):
    found = pair(home)
    assert found.declared == {} and fields_in_words(found).endswith("differ in steps.")
    assert [[entry.text for entry in row] for row in fields_table(found).rows] == [["steps", "100", "200", "all arms"]]


@pytest.mark.parametrize(("where", "value", "named"), [("batch_size", 16, "batch_size"),
                                                       ("data", {"corpus": "other", "length": 64}, "data.corpus")])
def test_other_data_are_not_paired(home, tmp_path, where, value, named):
    make(tmp_path / "other", ARMS, levels(0.1), seeds=4, noise=0.003)
    change(tmp_path / "other", lambda config: config.update({where: value}))
    found = put_side_by_side(load_study(home / "before"), load_study(tmp_path / "other"))
    assert all(one.seeds == () and named in one.unpaired_because for one in found.differences)
    assert "Welch’s test" in how_tested(found) and named in how_tested(found) and "paired by" not in how_tested(found)
    paired = {one.arm: one for one in pair(home).differences if one.metric.key == "bits_per_byte"}
    welch = {one.arm: one for one in found.differences if one.metric.key == "bits_per_byte"}
    assert welch["position_rotary"].tested.p > paired["position_rotary"].tested.p  # what seeds share stays in


def test_another_text_or_tokenizer_is_other_data(home, tmp_path):
    for name, hashed in (("a", "1"), ("b", "2")):
        make(tmp_path / name, ARMS, levels(), environment={"corpus_sha256": hashed})
    assert "corpus_sha256" in how_tested(pair(tmp_path, "b", "a"))


def test_other_seeds_are_not_paired(home, tmp_path):
    make(tmp_path / "b", ARMS, levels(0.1), seeds=1)
    found = pair(home, tmp_path / "b")
    assert "fewer than two seeds are common" in how_tested(found)
    assert all(one.p is None for one in found.differences) and "too few seeds" in in_words(found)


def test_the_same_results_are_called_that(home, tmp_path):
    make(tmp_path / "again", ARMS, levels(), seeds=4, noise=0.003)
    assert "Bits per byte: the same in both. Minimal pairs: the same in both." in in_words(pair(home,
                                                                                            tmp_path / "again"))


def test_arms_of_one_name_that_are_not_one_arm_are_named(home, tmp_path):
    make(tmp_path / "b", ARMS, levels())
    change(tmp_path / "b", lambda config: config["model"]["position"].update(theta=5e5))
    found = pair(home, tmp_path / "b")
    assert list(found.declared) == ["model.position.theta"] and found.fields == {}
    assert any("not the same arm" in words and "model.position.theta" in words for words in warnings(found))


def test_both_ledgers_stand_arm_by_arm(home):
    rows = [[entry.text for entry in row] for row in ledgers(pair(home)).rows]
    flops = [entry.text for entry in ledgers(pair(home)).head].index("FLOPs")
    assert [row[1] for row in rows] == ["A", "B"] * 2
    assert [row[flops] for row in rows] == ["1.00 T", "2.00 T"] * 2


def test_a_metric_that_turned_around_is_not_common(home, tmp_path):
    make(tmp_path / "b", ARMS, levels(), metrics=(LOSS, SCORE | {"better": "lower"}))
    found = pair(home, tmp_path / "b")
    assert {one.metric.key for one in found.differences} == {"bits_per_byte"}
    assert found.only_metrics == (("Minimal pairs",), ("Minimal pairs",))


def test_what_has_nothing_in_common_is_refused(home):
    with pytest.raises(UserError, match="no arm in common: A has position_rotary, .*; B has depth_2, depth_4"):
        pair(home, "elsewhere")
    with pytest.raises(UserError, match="no metric in common: A has bits_per_byte, pairs; B has none"):
        pair(home, "unmeasured")


def test_the_program_writes_its_pages_and_refuses_in_one_line(home, tmp_path):
    a, b, out = str(home / "before"), str(home / "after"), tmp_path / "out"
    good, *bad = many([("experiments.compare", arguments) for arguments in (
        [a, b, f"--out={out}"], [a], [a, a + "/."], [a, str(home / "missing")], [a, str(home / "nothing")],
        [a, str(home / "elsewhere")], [a, b, f"--out={b}"], [a, b, f"--out={home}/before/study.json"])], COMPARING)
    assert good["code"] == 0, good["err"]
    assert "B over A" in good["out"] and f"page: {out}/compare.html" in good["out"]
    page = (out / "compare.html").read_text()
    assert "http" not in page and page.count("<img src=\"data:image/svg+xml") == 1 and "position rotary" in page
    assert "plots/side_by_side.png" in (out / "compare.md").read_text() and (out / "plots/side_by_side.png").exists()
    messages = ("two arguments are needed", "the same directory", "missing: there is no such directory",
                "nothing: not the directory of a study", "no arm in common", "that is a study", "that is a file")
    for ended, message in zip(bad, messages, strict=True):
        assert_one_line(ended, message)
