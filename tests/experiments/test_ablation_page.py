"""The page of a finished ablation in docs/: the command for others, the verdicts, and all that was run is counted."""

from arch_zoo.config import RunConfig
from arch_zoo.files import read_json, write_json_atomic
from arch_zoo.settings import override, to_dict
from experiments.ablations.page import _for_others, write_page
from experiments.ablations.sources import called
from tests.experiments.report_studies import make, product

ARMS = product(model__position=["rotary", "alibi"])
ROTARY, ALIBI = "position_rotary", "position_alibi"
LEVELS = {"rotary": 2.0, "alibi": 1.9}


def page_of(workdir, **record) -> str:
    run = override(RunConfig(), {"data.corpus": "/home/me/texts/brown.txt", "steps": 1200})
    make(workdir / "study", ARMS, lambda o: {"bits_per_byte": LEVELS[o["model.position"]]}, noise=0.001,
         configs=dict.fromkeys((ROTARY, ALIBI), to_dict(run)), environment={"cores": 1},
         command="python -m experiments.reproduce --table=mine.t1 --data=/home/me/texts --workdir=/home/me/x", **record)
    return write_page(workdir / "study", workdir / "pages", "mine.t1").read_text()


def test_it_has_the_verdicts_and_nothing_of_the_machine_on_which_it_ran(tmp_path):
    claim = {"text": "ALiBi is better", "source": "A paper", "metric": "bits_per_byte", "better_arm": ALIBI,
             "worse_arm": ROTARY, "expectation": "holds", "verified": True}
    page = page_of(tmp_path, claims=[claim], stand_in="brown.txt in place of WikiText-2")
    assert "1. **REPLICATES**: ALiBi is better (A paper). Expected beforehand: holds. Found: " in page
    assert "python -m experiments.reproduce --table=mine.t1 --data=FOLDER --workdir=runs/mine_t1\n" in page
    assert "1,200 steps of 32 × 128 tokens" in page and "from brown.txt." in page and "each on 1 core." in page
    assert "**Not the protocol's data:** brown.txt in place of WikiText-2." in page
    assert "/home" not in page and (tmp_path / "pages" / "mine_t1.png").is_file()


def test_commands_keep_what_others_have_too():
    assert _for_others("python -m x --data tfds:lm1b --workdir /home/me/x --seeds=2", "t") == \
        "python -m x --data=tfds:lm1b --workdir=runs/t --seeds=2"
    assert _for_others("python -m x --data=/home/a.en,/home/a.de", "t") == "python -m x --data=a.en,a.de"


def test_of_a_study_without_a_result_there_is_a_page_too(tmp_path):
    configs = dict.fromkeys((ROTARY, ALIBI), to_dict(RunConfig()))
    make(tmp_path / "study", ARMS, lambda o: {"bits_per_byte": 1.0}, configs=configs)
    for result in (tmp_path / "study").glob("cells/*/*/result.json"):
        result.unlink()
    page = write_page(tmp_path / "study", tmp_path / "pages", "mine.t1").read_text()
    assert "have no result" in page and "![" not in page


def test_profiles_have_a_plot_of_their_own(tmp_path):
    assert "profiles" not in page_of(tmp_path)
    for path in (tmp_path / "study").glob("cells/*/*/result.json"):
        result = read_json(path)
        result["metrics"]["bits_per_byte"]["profile"] = [2.0, 1.0]
        write_json_atomic(path, result)
    page = write_page(tmp_path / "study", tmp_path / "pages", "mine.t1").read_text()
    assert "![block by block](mine_t1_profiles.png)" in page and "![each metric by arm](mine_t1.png)" in page
    assert (tmp_path / "pages" / "mine_t1_profiles.png").is_file()


def test_corpora_are_named_without_their_folders():
    named = {("/a/b/brown.txt", "books/mine.txt"): "brown.txt, mine.txt", ("tokens:/home/me/store",): "tokens:store",
             ("parallel:/a/train_*.en,/a/train_*.de",): "train_*.en, train_*.de",
             ("parallel:tfds:wmt14_translate/de-en",): "tfds:wmt14_translate/de-en", ("python_docs",): "python_docs"}
    for (corpus, *others), name in named.items():
        assert called(corpus, others) == name


def test_rates_on_trial_are_counted_and_said(tmp_path):
    rates = {"rates": [1e-3, 3e-3], "share": 0.25, "cells": "tuning/{arm}/rate_{rate:g}"}
    plain = page_of(tmp_path / "plain")
    for rate in ("0.001", "0.003"):
        write_json_atomic(tmp_path / "tuned" / "study" / "tuning" / ALIBI / f"rate_{rate}" / "result.json",
                          {"seconds": 3600.0})
    write_json_atomic(tmp_path / "tuned" / "study" / "tuning" / ROTARY / "rate_0.003" / "result.json",
                      {"evaluation_loss": None, "problem": "it diverged"})  # which has no time
    tuned = page_of(tmp_path / "tuned", tuning=rates)
    times = [page.partition(" of cells' wall time")[0].rpartition("; ")[2] for page in (plain, tuned)]
    assert not times[0].startswith("2:") and times[1].startswith("2:")
    assert "Each arm tried 0.001 and 0.003, each at 25% of its steps" in tuned and "Each arm tried" not in plain
