"""Arms that start from others, that only prepare, that are measured in their own way, or that tune their rate."""

import pytest

from arch_zoo.config import EvaluationConfig, ModelConfig, OptimizerConfig, RunConfig
from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.objectives.masked_lm import MaskedLM
from experiments.ablations.listing import nominal_data
from experiments.studies.cells import resolved, write_cells
from experiments.studies.config import Arm, Claim, StudyConfig, Tuning
from experiments.studies.losses import losses
from experiments.studies.plan import make_plan, study_record

MASKED = {"model.architecture": "encoder_only", "objective": "masked_lm"}
BASE = RunConfig(steps=100, batch_size=8, model=ModelConfig(width=32, depth=2, heads=2))


def study_of(*arms, varies=("model.architecture", "objective"), **fields):
    return StudyConfig(base=BASE, arms=arms, varies=varies, **fields)


TURNED = (Arm("causal", {}), Arm("first", {"steps": 30}, preparation=True),
          Arm("turned", MASKED, starts_from="first"), Arm("masked", MASKED))


def steps_of(study):
    return {slug: config.steps for slug, config in make_plan(study, nominal_data).configs.items()}


def test_what_must_match_is_counted_through_the_arms_that_an_arm_starts_from():
    assert steps_of(study_of(*TURNED)) == {"causal": 100, "first": 30, "turned": 70, "masked": 100}
    assert steps_of(study_of(*TURNED, count_preparation=False))["turned"] == 100
    plan = make_plan(study_of(*TURNED), nominal_data)
    tokens = {slug: ledger.tokens for slug, ledger in plan.ledgers.items()}
    assert tokens["turned"] == tokens["masked"] == 100 * 8 * 128 and tokens["first"] == 30 * 8 * 128
    assert plan.ledgers["turned"].loss_tokens > plan.ledgers["masked"].loss_tokens  # its first part had loss everywhere
    flops = make_plan(study_of(*TURNED, match="flops"), nominal_data).ledgers
    assert flops["turned"].flops == pytest.approx(flops["causal"].flops, rel=0.02)


def test_without_matching_arms_keep_the_steps_that_they_name():
    arms = (Arm("a", {}), Arm("b", {"steps": 7}), Arm("c", {"steps": 0}))
    assert steps_of(study_of(*arms, varies=("steps",), match="none")) == {"a": 100, "b": 7, "c": 0}
    assert set(steps_of(study_of(*arms, varies=("steps",), match="steps")).values()) == {100}


@pytest.mark.parametrize("match", ["tokens", "steps", "flops"])
def test_no_steps_at_all_are_matched_too(match):
    study = study_of(Arm("a", {}), Arm("masked", MASKED), match=match)
    assert steps_of(study.replace(base=BASE.replace(steps=0))) == {"a": 0, "masked": 0}


@pytest.mark.parametrize(("arms", "fields", "message"), [
    ((Arm("a", {}), Arm("b", {}, starts_from="c")), {}, "b starts from 'c', which is no arm"),
    ((Arm("a", {}), Arm("b", {}, starts_from="c"), Arm("c", {}, starts_from="b")), {}, "circle"),
    ((Arm("a", {}), Arm("b", {}, preparation=True)), {}, "b only prepares, and no arm starts from it"),
    (TURNED, {"reference": "first"}, "reference: arm first only prepares others"),
    (TURNED, {"claims": (Claim("x", metric="m", better_arm="first", worse_arm="causal"),)}, "claims: arm first only"),
    ((Arm("a", {}), Arm("b", {}, evaluation={"pairs": 3})), {}, "arms differ in evaluation.pairs"),
    ((Arm("a", {}), Arm("b", {}, evaluation={"pair": 3})), {}, "arm 'b': evaluation: pair: there is no field"),
    ((Arm("a", {}),), {"tuning": Tuning(rates=(1e-3, 1e-3))}, "the same learning rate twice"),
    ((Arm("a", {}),), {"losses": (MaskedLM(rate=0.1), MaskedLM(rate=0.2))}, "losses: masked_lm twice"),
    ((Arm("a", {"model.position": "learned"}), Arm("b", {})), {
        "losses": (CausalLM(),), "loss_lengths": (128, 4096), "varies": ("model.position",)},
     "loss_lengths: arm a cannot be measured at 4096: .*max_len")])
def test_what_cannot_be_meant_is_refused(arms, fields, message):
    with pytest.raises(UserError, match=message):
        study_of(*arms, **fields)


def test_an_arm_that_has_no_steps_left_or_other_parameters_is_refused_before_anything_runs():
    with pytest.raises(UserError, match="arm b: nothing is left for it: what it starts from has used up the tokens"):
        make_plan(study_of(Arm("a", {}), Arm("b", {}, starts_from="a")), nominal_data)
    wide = (Arm("a", {}), Arm("first", {"steps": 10, "model.width": 64}, preparation=True),
            Arm("b", {}, starts_from="first"))
    with pytest.raises(UserError, match="arm b cannot start from first: their parameters differ in"):
        make_plan(study_of(*wide), nominal_data)


def test_arms_may_be_measured_in_their_own_way_where_that_is_declared():
    study = study_of(Arm("a", {}), Arm("b", {}, evaluation={"pairs": 3}), varies=("evaluation.pairs",))
    assert (study.evaluation_of("a").pairs, study.evaluation_of("b").pairs) == (120, 3)
    assert study_of(*TURNED).evaluation_of("first") == EvaluationConfig(metrics=())


def written(study, home):
    record = study_record(study, make_plan(study, nominal_data), {}, "", [])
    return write_cells(study, home, record)


def test_cells_come_after_what_they_need_and_find_it_where_the_study_lies(tmp_path):
    study = study_of(*TURNED, seeds=2)
    cells = written(study, tmp_path / "here")
    by_label = {cell.label: cell for cell in cells}
    assert by_label["turned, seed 1"].after == (by_label["first, seed 1"],)
    assert [cell for cell in cells if set(cell.after) - set(cells[:cells.index(cell)])] == []
    (tmp_path / "here").rename(tmp_path / "there")  # a study's directory may be moved
    home = tmp_path / "there" / "cells" / "turned" / "seed_1"
    config = resolved(home, read_json(home / "cell.json"))
    assert config.start_from == str(tmp_path / "there" / "cells" / "first" / "seed_1")
    assert (config.seed, config.steps, config.objective) == (1, 70, MaskedLM())


def test_the_best_rate_on_trial_is_taken_and_one_that_diverged_is_not(tmp_path):
    study = study_of(Arm("a", {}), Arm("b", MASKED), seeds=2, tuning=Tuning(rates=(1e-4, 1e-3, 1e-2), share=0.2))
    cells = written(study, tmp_path)
    trials = [cell for cell in cells if "on trial" in cell.label]
    assert len(trials) == 6 and len(cells) == 10
    home = tmp_path / "cells" / "a" / "seed_1"
    assert {read_json(cell.directory / "cell.json")["run"]["steps"] for cell in trials} == {20}
    for rate, loss in (("0.0001", 3.0), ("0.001", 2.0), ("0.01", None)):
        write_json_atomic(tmp_path / "tuning" / "a" / f"rate_{rate}" / "result.json", {"evaluation_loss": loss})
    assert resolved(home, read_json(home / "cell.json")).optimizer == OptimizerConfig(learning_rate=1e-3)
    for rate in ("0.0001", "0.001"):
        write_json_atomic(tmp_path / "tuning" / "a" / f"rate_{rate}" / "result.json", {"evaluation_loss": None})
    with pytest.raises(UserError, match="did not stay finite at any of the learning rates 0.0001, 0.001, 0.01"):
        resolved(home, read_json(home / "cell.json"))


def test_losses_are_named_by_objective_and_length():
    two = losses(EvaluationConfig(losses=("masked_lm", "causal_lm")))
    assert [metric["key"] for loss in two.values() for metric in loss.describe()] == list(two) == \
        ["loss/masked_lm", "loss/causal_lm"]
    one, = losses(EvaluationConfig(losses=("causal_lm",), loss_lengths=(16,))).values()
    assert [metric["key"] for metric in one.describe()] == ["loss/causal_lm_at_16"]  # nothing can grow
    at, = losses(EvaluationConfig(losses=("causal_lm",), loss_lengths=(16, 32))).values()
    assert [metric["key"] for metric in at.describe()] == \
        ["loss/causal_lm_at_16", "loss/causal_lm_at_32", "loss/causal_lm_growth"]
