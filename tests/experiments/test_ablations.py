"""The published ablations: each is whole at every scale, and says what it is; reproduce lists and plans them."""

import hashlib
import json
import re

import pytest

from arch_zoo.config import RunConfig
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.models import abstract
from arch_zoo.settings_view import flatten
from arch_zoo.tasks.base import labels
from arch_zoo.zoo import ZOO
from experiments.ablations.catalogue import HOME, ablations, find
from experiments.ablations.listing import nominal_data
from experiments.ablations.protocol import SCALES
from experiments.studies.plan import solve
from tests.runs import VARIANTS, assert_one_line, many

REPRODUCE = "experiments.reproduce"
KNOWN = ablations()
PAGES = HOME.parents[1] / "docs" / "ablations"
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
        assert keys <= {*study.metrics, *(["loss"] if study.losses else []), *labels(study.tasks)}
        if study.paper is not None:
            slugs = {arm.slug for arm in study.arms}
            assert {row.arm for row in study.paper.rows} <= slugs and study.paper.baseline in slugs
            assert all(row.values.keys() <= set(study.paper.columns) for row in study.paper.rows)
        assert solve(study, nominal_data).keys() == {arm.slug for arm in study.arms}


def runs_of(study) -> dict[str, dict]:
    """{arm: {path: value}} of what differs from a run of which nothing was said, and of what must match."""
    ordinary = flatten(RunConfig())
    return {slug: {path: value for path, value in flatten(config).items() if value != ordinary.get(path, ...)}
            for slug, config in study.arm_configs().items()} | {"": [study.match, study.seeds, list(study.losses)]}


def fingerprint(table: str) -> str:
    runs = json.dumps(runs_of(KNOWN[table].study("bench", None)), sort_keys=True, default=repr)
    return hashlib.sha256(runs.encode()).hexdigest()[:12]


@pytest.mark.parametrize("table", ["t5.t2", "vaswani2017.t3", "xiong2020.preln"])
def test_made_up_pairs_have_a_tokenizer_of_the_size_that_is_asked_for(table, tmp_path):
    study = KNOWN[table].study("bench", None)
    data = prepare_data(study.base.data.replace(cache_dir=str(tmp_path)))
    assert data.tokenizer.vocabulary.size == study.base.data.tokenizer.vocab_size


# What the pages in docs/ablations/ were measured with, but for the text that --data named. Whoever changes one runs the
# table again, or says on its page that it was another.
RAN = {"alibi.extrapolation": "fd8bd57f6518", "bart.t1": "b5c554c18b44", "glu2020.t1": "bba468c4d1ee",
       "gpt1.t5": "74fd095d0c47", "mlmclm2025.early": "914e401765d5", "roberta.t1": "19b7ab6da203",
       "t5.t2": "c7727cb1cf20", "t5.t2_objectives": "1c4b296c879c", "t5.t4": "6dda1c57a608", "t5.t5": "56e9689d55fb",
       "t5.t6": "05272b9316a3", "t5.t7": "aec6f672d4bb", "t5.t9": "7ffe1e3bf777", "vaswani2017.t3": "7bf3f9b64a94",
       "wang2022.adapt": "5f42b11e43d8", "xiong2020.gradients": "ded0b0cde70d", "xiong2020.preln": "2297557ee97d"}


def test_tables_with_a_page_are_still_what_was_run():
    tables = [path.stem.replace("_", ".", 1) for path in PAGES.glob("*.md")]
    assert {table: now for table in tables if (now := fingerprint(table)) != RAN.get(table)} == {}


# --- the paper's scale ----------------------------------------------------------------------------------------------

T5_TABLES = ("t5.t2", "t5.t2_objectives", "t5.t4", "t5.t5", "t5.t6", "t5.t7", "t5.t9", "glu2020.t1")


@pytest.mark.parametrize(("table", "row"), [*((table, "t5_table2_enc_dec") for table in T5_TABLES),
                                            ("roberta.t1", "bert_base"), ("bart.t1", "bart_base"),
                                            ("gpt1.t5", "gpt1"), ("vaswani2017.t3", "transformer_base")])
def test_at_paper_scale_a_model_is_the_one_that_was_published(table, row):
    of_row, base = ZOO.get(row).model(), KNOWN[table].study("paper", None).base.model
    dropout = {f"{part}_dropout": 0.0 for part in ("embedding", "attention", "mlp", "residual")}
    heads = {"pooler": False, "sentence_classes": 0, "token_types": 0}  # of the next sentence, which is not learnt here
    assert base == of_row.replace(scan=True, **{"glu2020.t1": dropout, "roberta.t1": heads}.get(table, {}))


@pytest.mark.parametrize("table", [*T5_TABLES, "wang2022.adapt"])
def test_at_paper_scale_t5_is_pre_trained_as_it_was(table):
    study = KNOWN[table].study("paper", None)
    assert study.stand_in == "" and study.base.data.corpus == "tfds:c4"
    preparing = {arm.starts_from for arm in study.arms} - {""}
    for slug, config in study.arm_configs().items():
        optimizer = config.optimizer
        if slug in preparing or not preparing:
            assert (optimizer.kind, optimizer.learning_rate, optimizer.schedule, optimizer.warmup_steps) == (
                "adafactor", 0.01, "inverse_square_root", 10_000), slug
        assert (optimizer.weight_decay, optimizer.clip_norm, config.model.scale_attention) == (0.0, None, False)
    if table.startswith("t5"):
        first = study.arm_configs()[min(preparing, default=study.reference)]
        assert first.steps * first.batch_size * first.data.length == 2**35


def test_at_paper_scale_wang_et_al_have_their_size_and_steps():
    runs = KNOWN["wang2022.adapt"].study("paper", None).arm_configs()
    assert 4.7e9 < abstract.count_parameters(runs["causal_before"].model, 32_128) < 4.9e9
    assert {slug: config.steps for slug, config in runs.items()} == {
        "causal_before": 131_072, "masked_before": 131_072, "masked_from_scratch": 39_900,
        "causal_then_masked": 39_900, "causal_from_scratch": 39_900, "masked_then_causal": 39_900}


def test_at_paper_scale_robertas_text_is_read_forty_times():
    base = KNOWN["roberta.t1"].study("paper", None).base
    assert base.steps * base.batch_size * base.data.length == 40 * base.data.unique_tokens


@pytest.mark.parametrize("table", ["t5.t2", "roberta.t1"])
def test_at_paper_scale_claims_about_glue_are_judged_on_it(table):
    study = KNOWN[table].study("paper", None)
    assert [(task.learning.task.name, task.data) for task in study.tasks] == [("sst2", "tfds:glue/sst2")]
    assert {claim.metric for claim in study.claims} >= {"fine_tuned/accuracy"} and "classification" not in study.metrics


# --- what is read ---------------------------------------------------------------------------------------------------

DOCSTRINGS = "docstrings of Python, classified by package, in place of SST-2"


@pytest.mark.parametrize(("table", "scale", "notice"), [
    ("t5.t9", "bench", "the documentation that comes with Python in place of WikiText-2"),
    ("t5.t9", "gpu", "lm1b of TFDS in place of WikiText-103"), ("t5.t9", "paper", ""),
    ("roberta.t1", "paper", "C4 in place of books and Wikipedia"),
    ("gpt1.t5", "gpu", f"lm1b of TFDS in place of WikiText-103; {DOCSTRINGS}"),
    ("t5.t2", "gpu", "TED talks, Portuguese to English in place of Multi30k"),
    ("xiong2020.preln", "paper", "WMT14, English to German in place of IWSLT14, German to English")])
def test_what_is_not_the_protocols_is_said(table, scale, notice):
    assert KNOWN[table].study(scale, None).stand_in == notice


@pytest.fixture
def folder(tmp_path):
    for name in ("text/brown.txt", "text/abc.txt", "translation/multi30k_train.en", "translation/multi30k_train.de",
                 "wiki.txt", "pairs.tsv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    return tmp_path


@pytest.mark.parametrize(("table", "data", "corpora", "notice"), [
    ("t5.t9", "{}", ["{}/text/brown.txt"], "brown.txt in place of WikiText-2"),
    ("mlmclm2025.early", "{}", ["{}/text/brown.txt", "{}/text/abc.txt"],
     f"brown.txt, abc.txt in place of WikiText-2; {DOCSTRINGS}"),
    ("t5.t9", "{}/wiki.txt", ["{}/wiki.txt"], "wiki.txt in place of WikiText-2"),
    ("t5.t9", "tfds:wikipedia", ["tfds:wikipedia"], "tfds:wikipedia in place of WikiText-2"),
    ("t5.t2", "{}", ["parallel:{}/translation/multi30k_*.en,{}/translation/multi30k_*.de"], ""),
    ("t5.t2", "{0}/translation/multi30k_*.de,{0}/translation/multi30k_*.en",
     ["parallel:{}/translation/multi30k_*.de,{}/translation/multi30k_*.en"],
     "multi30k_*.de and multi30k_*.en in place of Multi30k"),
    ("t5.t2", "{}/pairs.tsv", ["parallel:{}/pairs.tsv"], "pairs.tsv in place of Multi30k"),
    ("t5.t2", "tfds:wmt16_translate/ro-en", ["parallel:tfds:wmt16_translate/ro-en"],
     "tfds:wmt16_translate/ro-en in place of Multi30k")])
def test_data_may_be_a_folder_a_file_a_dataset_or_pairs(folder, table, data, corpora, notice):
    study = KNOWN[table].study("bench", data.format(folder))
    read = study.base.data
    assert [read.corpus, *read.mixed_with] == [corpus.replace("{}", str(folder)) for corpus in corpora]
    assert study.stand_in == notice


@pytest.mark.parametrize(("table", "data", "problem"), [
    ("t5.t9", "{}/a.txt", "no such folder or file; a dataset of TFDS is named tfds:NAME"),
    ("t5.t9", "{0}/wiki.txt,{0}/pairs.tsv", "names pairs of texts, and this table reads running text"),
    ("t5.t9", "{}/translation", "give FILE.txt or tfds:NAME for another text"),
    ("t5.t2", "{0}/wiki.txt,{0}/b.txt", "there is no file {0}/b.txt"),
    ("t5.t2", "{0}/wiki.txt,", "expected two files, SOURCES,TARGETS"),
    ("t5.t2", "{}/text", "give SOURCES,TARGETS, a FILE of pairs or tfds:NAME for other pairs")])
def test_data_that_is_not_there_is_one_line(folder, table, data, problem):
    with pytest.raises(UserError) as caught:
        KNOWN[table].study("bench", data.format(folder))
    assert problem.format(folder) in str(caught.value) and "\n" not in str(caught.value)


def test_what_is_read_instead_of_data_is_said_for_it():
    changed = KNOWN["gpt1.t5"].study("bench", None, {"base.data.corpus": "/somewhere/mine.txt"})
    assert changed.stand_in == f"mine.txt in place of the protocol's text; {DOCSTRINGS}"
    assert KNOWN["t5.t9"].study("bench", None, {"seeds": "2"}).stand_in == KNOWN["t5.t9"].study("bench", None).stand_in


def test_what_is_said_of_data_stays_as_it_is_said():
    changes = {"base.data.corpus": "/somewhere/mine.txt", "stand_in": ""}
    ours = KNOWN["t5.t9"].study("bench", None, {"base.data.corpus": "/somewhere/mine.txt"})
    assert ours.stand_in and KNOWN["t5.t9"].study("bench", None, changes).stand_in == ""


def test_arms_are_made_from_the_base_as_a_person_changed_it():
    def arms(table, **changes):
        changes = {f"base.{path.replace('__', '.')}": str(value) for path, value in changes.items()}
        return KNOWN[table].study("bench", None, changes).arm_configs()

    repeated = arms("t5.t9", steps=1200)["64_repeats"]
    assert 64 * repeated.data.unique_tokens == 1200 * repeated.batch_size * repeated.data.length
    early = arms("mlmclm2025.early", steps=1000)
    assert early["clm_first_25"].steps == 250 and early["mlm_15"].evaluate_every == 250
    halves = arms("t5.t2", model__depth=6)
    assert halves["half_as_deep"].model.depth == 3 and halves["shared"].model.depth == 6
    trained = arms("gpt1.t5", steps=50)
    assert trained["pre_training"].steps == 50 and trained["pre_trained"].steps == 0
    assert arms("t5.t2", log_every=7)["shared"].log_every == 7
    with pytest.raises(UserError, match="base.model.dept"):
        arms("t5.t2", model__dept=6)


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
    path.write_text("HELPER = 1")
    assert ablations() == {}
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
    "a page of nothing": (["--table=t5.t2", "--dry_run", "--page=W"], "--page is about what was found", 1),
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
    assert "stand-in: synthetic:grammar in place of the protocol's text" in " ".join(planned[1]["out"].split())
