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


def test_the_program(tmp_path):
    commands = {
        "unknown table": (["--table=t6"], "there is none of that name"),
        "no workdir": (["--table=t5.t2"], "--workdir=DIR is required"),
        "no data": (["--table=t5.t2", f"--data={tmp_path}", "--dry_run"], "has no multi30k_train.en"),
        "no such folder": (["--table=t5.t9", f"--data={tmp_path}/x", "--dry_run"], "no such folder"),
        "unknown field": (["--table=t5.t2", "--config.base.step=3", "--dry_run"], "there is no field 'step'"),
        "a config": (["--config=configs/base.py"], "this program takes --table=NAME"),
        "listing": ([], "t5.t2"),
        "plan": (["--table=t5.t2", "--scale=paper", "--dry_run"], "223 M")}
    ended = many([(REPRODUCE, arguments) for arguments, _ in commands.values()], VARIANTS)
    for (name, (_, message)), one in zip(commands.items(), ended, strict=True):
        if name in ("listing", "plan"):
            assert one["code"] == 0 and message in one["out"], (name, one)
        else:
            assert_one_line(one, message)
