"""The published ablations: each is whole at every scale, and says what it is; reproduce lists and plans them."""

import re

import pytest

from arch_zoo.errors import UserError
from experiments.ablations.catalogue import ablations, find
from experiments.ablations.listing import nominal_data
from experiments.ablations.protocol import SCALES
from experiments.studies.plan import solve
from tests.runs import VARIANTS, assert_one_line, many

REPRODUCE = "experiments.reproduce"
KNOWN = ablations()
WANTED = {"t5.t2", "roberta.t1", "t5.t9", "mlmclm2025.early", "wang2022.adapt", "xiong2020.preln", "vaswani2017.t3",
          "alibi.extrapolation", "gpt1.t5", "glu2020.t1", "bart.t1", "t5.t4", "t5.t5", "t5.t6", "t5.t7"}


def test_all_that_were_promised_are_there():
    assert KNOWN.keys() >= WANTED


@pytest.mark.parametrize("table", sorted(KNOWN))
def test_an_ablation_can_be_planned_and_says_what_it_is(table):
    ablation = KNOWN[table]
    about = ablation.module.__doc__
    for part in ("Paper: ", "Reason: ", f"Command: python -m experiments.reproduce --table={table} ", "Expected: "):
        assert f"\n{part}" in about, part
    for scale in SCALES:
        study = ablation.study(scale, None)
        assert study.scale == scale and study.claims
        keys = {claim.metric.split("/")[0] for claim in study.claims}
        assert keys <= {*study.metrics, *(["loss"] if study.losses else [])}
        if study.paper is not None:
            slugs = {arm.slug for arm in study.arms}
            assert {row.arm for row in study.paper.rows} <= slugs and study.paper.baseline in slugs
            assert all(row.values.keys() <= set(study.paper.columns) for row in study.paper.rows)
        assert solve(study, nominal_data).keys() == {arm.slug for arm in study.arms}


def test_what_is_not_there_is_named():
    with pytest.raises(UserError, match=re.escape("--table=t5.t22: there is none of that name. Did you mean 't5.t2'")):
        find("t5.t22", "bench")
    with pytest.raises(UserError, match="--scale=big: one of bench, gpu, paper"):
        find("t5.t2", "big")


def test_a_table_of_ones_own_that_fails_is_named_with_its_line(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.ablations.catalogue.HOME", tmp_path)
    path = tmp_path / "mine_t1.py"
    path.write_text("def get_config(scale, data):\n    return {}[scale]")
    with pytest.raises(UserError, match=re.escape(f"{path}:2: KeyError: 'bench'")):
        find("mine.t1", "bench").study("bench", None)
    path.write_text("import nothing_of_the_kind")
    with pytest.raises(UserError, match=re.escape(f"{path}:1: ModuleNotFoundError: ")):
        ablations()


REFUSED = {
    "unknown table": (["--table=t6"], "there is none of that name", 2),
    "unknown scale": (["--table=t5.t2", "--scale=papr"], "--scale=papr: one of bench, gpu, paper. Did you mean", 2),
    "a scale of nothing": (["--scale=papr"], "--table=NAME is required: the ablation to plan or to run", 2),
    "seeds of nothing": (["--seeds=3"], "--table=NAME is required", 2),
    "unknown match": (["--table=t5.t2", "--match=token"], "match: expected one of: tokens, ", 2),
    "no seeds": (["--table=t5.t2", "--seeds=0"], "seeds: 0 is out of range: at least 1", 2),
    "no workdir": (["--table=t5.t2"], "--workdir=DIR is required", 1),
    "no data": (["--table=t5.t2", "--data=W", "--dry_run"], "has no multi30k_train.en", 2),
    "no such folder": (["--table=t5.t9", "--data=W/x", "--dry_run"], "no such folder", 2),
    "unknown field": (["--table=t5.t2", "--config.base.step=3", "--dry_run"], "there is no field 'step'", 2),
    "a config": (["--config=configs/base.py"], "this program takes --table=NAME", 2)}


def test_what_the_program_refuses(tmp_path):
    commands = [(REPRODUCE, [one.replace("=W", f"={tmp_path}") for one in given]) for given, _, _ in REFUSED.values()]
    for (_, message, code), ended in zip(REFUSED.values(), many(commands, VARIANTS), strict=True):
        assert_one_line(ended, message, code)
        assert ended["out"] == ""


def test_the_program_lists_and_plans():
    """A plan says what is trained and how it is measured; where a step is too long it is not timed."""
    plans = {
        ("--table=t5.t2", "--scale=paper"): ("30 cells: 10 arms × 3 seeds", "223 M", "batch_size=128, ",
                                             "model.width=768, model.depth=12, ",
                                             "optimizer.kind=adafactor, optimizer.learning_rate=",
                                             "no estimate of time: a step of encoder_decoder has 58.9 TFLOPs"),
        ("--table=gpt1.t5", "--config.base.model.depth=1", "--config.base.data.corpus=synthetic:grammar"): (
            "with auxiliary loss: evaluation.fine_tuning.auxiliary=0.5; starts from pre_training",
            "head only: evaluation.fine_tuning.weights=probe; ", "model.width=128, model.depth=1, model.heads=4, ",
            "of training and compilation for 15 cells")}
    listing, *planned = many([(REPRODUCE, []), *((REPRODUCE, [*given, "--dry_run"]) for given in plans)], VARIANTS)
    assert listing["code"] == 0 and "t5.t2" in listing["out"]
    for parts, ended in zip(plans.values(), planned, strict=True):
        assert ended["code"] == 0, ended["err"]
        for part in parts:
            assert part in " ".join(ended["out"].split()), part
    assert "stand-in" not in planned[1]["out"]  # another corpus was asked for
