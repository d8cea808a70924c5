"""The report of a study made up on the spot, in the formats that the programs write."""

import csv
import json
import pathlib
import random
import re
import subprocess
import sys

import pytest

from arch_zoo.errors import UserError
from arch_zoo.files import write_json_atomic, write_text_atomic
from experiments.report import build_report, terminal_summary
from experiments.report.build import results_json
from experiments.report.content import gather
from experiments.report.findings import answer, find
from experiments.report.page import html_page
from experiments.report.record import load_study

ARMS = {"encoder, masked LM": "masked_lm", "decoder, causal LM": "causal_lm", "prefix decoder, prefix LM": "prefix_lm",
        "encoder-decoder, prefix LM": "prefix_lm"}
ENCODER, DECODER, PREFIX, SEQ2SEQ = (name.replace(",", "").replace("-", " ").lower().replace(" ", "_") for name in ARMS)
METRICS = [
    {"key": "bits_per_byte", "title": "Bits per byte", "better": "lower", "unit": "bits/byte", "chance": None,
     "about": "of the second 64 tokens of held-out windows given the first 64"},
    {"key": "minimal_pairs/swap", "title": "Swapped words", "better": "higher", "unit": "accuracy", "chance": 0.5,
     "about": "share of held-out sentences that score above themselves with two neighbouring words swapped"},
    {"key": "classification/own", "title": "Classification", "better": "higher", "unit": "accuracy", "chance": 0.1,
     "about": "which of ten packages a docstring comes from, after fine-tuning"}]
NO_LIKELIHOOD = "filling in from both sides defines no left-to-right likelihood"
LEVELS = {"bits_per_byte": [None, 2.30, 2.31, 2.45], "minimal_pairs/swap": [0.62, 0.70, 0.71, 0.52],
          "classification/own": [0.55, 0.48, 0.49, 0.50]}
SPREAD = 0.008


def make_study(workdir: pathlib.Path, seeds: int = 3, claims: tuple = (), run: bool = True) -> pathlib.Path:
    """A study's directory with every cell done; LEVELS plus seeded noise are its values."""
    record = {
        "name": "families", "title": "Encoder, decoder, encoder-decoder", "question": "Which family models text best?",
        "command": "python -m experiments.study --config=configs/studies/families.py --workdir=DIR",
        "arms": [{"name": name, "slug": slug, "overrides": {"objective": objective}}
                 for (name, objective), slug in zip(ARMS.items(), (ENCODER, DECODER, PREFIX, SEQ2SEQ), strict=True)],
        "varies": ["model.architecture", "objective"], "match": "tokens", "seeds": list(range(seeds)),
        "reference": DECODER, "metrics": METRICS, "claims": list(claims), "cells": "cells/{arm}/seed_{seed}",
        "configs": {slug: {"objective": {"name": objective}} for slug, objective in
                    zip((ENCODER, DECODER, PREFIX, SEQ2SEQ), ARMS.values(), strict=True)},
        "asserted_equal": {"steps": 400, "optimizer.learning_rate": 0.003, "model.windows": []},
        "differs": {"objective": dict(zip((ENCODER, DECODER, PREFIX, SEQ2SEQ), ARMS.values(), strict=True)),
                    "objective.rate": {ENCODER: 0.15, DECODER: None, PREFIX: None, SEQ2SEQ: None}},
        "ledger": {slug: {"params": 1_056_896, "non_embedding_params": 794_752, "flops_per_token": 6.1e6,
                          "flops": 1.0e13, "tokens": 1_638_400, "loss_tokens": 1_638_400, "steps": 400}
                   for slug in (ENCODER, DECODER, PREFIX, SEQ2SEQ)},
        "environment": {"python": "3.11", "jax": "0.10.2", "device": "cpu", "corpus_sha256": "ab" * 32}}
    write_json_atomic(workdir / "study.json", record)
    if run:
        for i, slug in enumerate((ENCODER, DECODER, PREFIX, SEQ2SEQ)):
            for seed in range(seeds):
                make_cell(workdir / "cells" / slug / f"seed_{seed}", i, seed)
    return workdir


def make_cell(directory: pathlib.Path, arm: int, seed: int) -> None:
    noise = random.Random(f"{arm} {seed}")
    metrics = {key: {"value": None, "reason": NO_LIKELIHOOD} if levels[arm] is None else
               {"value": levels[arm] + noise.gauss(0, SPREAD), "count": 240} for key, levels in LEVELS.items()}
    lines = [{"step": step, "train/loss": 4 + arm + 4 / step + noise.gauss(0, 0.02), "train/tokens": step * 4096}
             for step in range(5, 401, 5)]
    lines += [{"step": step, "eval/loss": 4.1 + arm + 4 / step} for step in (100, 200, 300, 400)]
    write_text_atomic(directory / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    stream = {"name": "stream", "tokens": ["<s>", "▁the", "<mask>", "\n\n", "<b>", "▁é"], "marked": [2]}
    source = {"name": "source", "tokens": ["▁Return", "▁the", "<extra_id_0>"], "marked": [2]}
    write_json_atomic(directory / "result.json", {
        "steps": 400, "tokens": 1_638_400, "loss_tokens": 245_000.0, "train_seconds": 312.0, "compile_seconds": 9.1,
        "seconds": 400.0, "peak_memory_bytes": 9 << 27, "metrics": metrics,
        "samples": [{"streams": [source, stream] if arm == 3 else [stream],
                     "predictions": [{"position": 2, "target": "▁dict", "predicted": "▁list", "probability": 0.31}]}]})


def claim(metric: str, better: str, worse: str, expectation: str = "holds", **more) -> dict:
    return {"text": f"{better} beats {worse} on {metric}", "source": "A paper, Table 5", "metric": metric,
            "better_arm": better, "worse_arm": worse, "expectation": expectation, "band": 0.0, **more}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> pathlib.Path:
    """A study with every cell done, and its report: to be read only."""
    workdir = make_study(tmp_path_factory.mktemp("study"))
    build_report(workdir)
    return workdir


def rows(workdir: pathlib.Path) -> list[dict[str, str]]:
    with open(workdir / "results.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_number_reaches_the_csv_unrounded(built):
    found = rows(built)
    assert len(found) == 4 * 3 * 3
    for row in found:
        result = json.loads((built / "cells" / row["arm"] / f"seed_{row['seed']}" / "result.json").read_text())
        entry = result["metrics"][row["metric"]]
        assert (float(row["value"]) if row["value"] else None) == entry["value"]
        assert row["reason"] == entry.get("reason", "")


def test_the_page_needs_no_other_file(built):
    page = (built / "report.html").read_text(encoding="utf-8")
    assert "http" not in page and "<script" not in page and "<link" not in page and "url(" not in page
    assert len(re.findall(r'<img src="data:image/svg\+xml;base64,', page)) == 2 == page.count("<img")


def outputs(workdir: pathlib.Path) -> dict[str, bytes]:
    found = [*workdir.glob("report.*"), *workdir.glob("results.*"), *(workdir / "plots").iterdir()]
    return {path.name: path.read_bytes() for path in found}


def test_the_same_study_gives_the_same_bytes_wherever_it_lies(built, tmp_path):
    first = outputs(built)
    assert set(first) == {"report.html", "report.md", "results.csv", "results.json", "metrics.png",
                          "learning_curves.png"}
    build_report(make_study(tmp_path))
    assert outputs(tmp_path) == first
    make_cell(tmp_path / "cells" / DECODER / "seed_1", arm=2, seed=7)
    build_report(tmp_path)
    assert all(content != first[name] for name, content in outputs(tmp_path).items())


def test_text_from_the_study_is_escaped(built):
    page = (built / "report.html").read_text(encoding="utf-8")
    assert "&lt;mask&gt;" in page and "<mask>" not in page and "<b>" not in page and "&lt;b&gt;" in page


def test_a_metric_without_meaning_is_a_footnote(built):
    for name in ("report.html", "report.md"):
        text = (built / name).read_text(encoding="utf-8")
        assert "n/a" in text and text.count(NO_LIKELIHOOD) == 1


def test_a_group_without_meaning_covers_its_keys(tmp_path):
    make_study(tmp_path)
    path = tmp_path / "cells" / ENCODER / "seed_0" / "result.json"
    result = json.loads(path.read_text())
    del result["metrics"]["minimal_pairs/swap"]
    write_json_atomic(path, {**result, "metrics": {**result["metrics"],
                                                   "minimal_pairs": {"value": None, "reason": "no text"}}})
    cell = load_study(tmp_path).cells[ENCODER, 0]
    assert cell.measured("minimal_pairs/swap").reason == "no text"
    assert cell.measured("bits_per_byte").reason == NO_LIKELIHOOD


def test_failed_missing_and_damaged_cells_are_named_and_survived(tmp_path, undrawn):
    make_study(tmp_path)
    cells = tmp_path / "cells"
    (cells / DECODER / "seed_0" / "result.json").unlink()
    write_json_atomic(cells / DECODER / "seed_0" / "failed.json", {"error": "the loss is not finite at step 12"})
    for path in (cells / PREFIX / "seed_1").iterdir():
        path.unlink()
    (cells / SEQ2SEQ / "seed_2" / "result.json").write_text('{"metrics": {')
    page = build_report(tmp_path).read_text(encoding="utf-8")
    assert "3 of 12 cells have no result" in page and str(tmp_path) not in page
    for words in ("failed: the loss is not finite at step 12", "not run", "damaged", "2 of 3 seeds"):
        assert words in page
    assert page.index("3 of 12 cells") < page.index("The answer")
    assert "3 of 12 cells" in terminal_summary(tmp_path)
    assert {row["reason"] for row in rows(tmp_path) if (row["arm"], row["seed"]) == (PREFIX, "1")} == {"not run"}
    pairs = {(c.first, c.metric.key): c for c in find(load_study(tmp_path)).comparisons}
    assert pairs[PREFIX, "bits_per_byte"].seeds == (2,)  # seed 0 failed for the reference, seed 1 for the arm
    assert pairs[PREFIX, "bits_per_byte"].p is None


def test_a_study_without_any_result_still_builds(tmp_path):
    page = build_report(make_study(tmp_path, run=False, claims=(claim("bits_per_byte", SEQ2SEQ, PREFIX),)))
    text = page.read_text(encoding="utf-8")
    assert "12 of 12 cells have no result" in text and "no answer" in text and "NO VERDICT" in text
    assert not (tmp_path / "plots").exists()


def test_one_seed_has_no_interval_no_test_and_no_verdict(tmp_path):
    make_study(tmp_path, seeds=1, claims=(claim("classification/own", ENCODER, DECODER),))
    findings = find(load_study(tmp_path))
    text = html_page(gather(findings), plots={})
    assert "One seed shows no spread" in text and "no answer yet" in text and "NO VERDICT" in text
    assert {findings.best(metric["key"]) for metric in METRICS} == {None}
    assert all(interval.low is None for interval in findings.intervals.values())


def test_the_best_is_marked_only_when_it_can_be_told_apart(built):
    findings = find(load_study(built))
    assert findings.best("classification/own") == ENCODER  # 0.06 ahead at a spread of 0.008
    assert findings.best("bits_per_byte") is None          # 0.01 between the first two
    words = answer(findings)
    assert "“encoder, masked LM” is best" in words and "over “encoder-decoder, prefix LM” only" in words


def test_lower_is_better_turns_the_sign(built):
    pairs = {(c.first, c.metric.key): c for c in find(load_study(built)).comparisons}
    assert pairs[SEQ2SEQ, "bits_per_byte"].paired.mean < -0.1
    assert pairs[ENCODER, "classification/own"].paired.mean > 0.04


def test_claims_get_verdicts_and_unverified_numbers_their_mark(tmp_path):
    make_study(tmp_path, seeds=5, claims=(
        claim("classification/own", ENCODER, DECODER, numbers="84.4 against 82.1", verified=False),
        claim("bits_per_byte", SEQ2SEQ, PREFIX), claim("bits_per_byte", SEQ2SEQ, DECODER, "reverses at this scale"),
        claim("bits_per_byte", ENCODER, DECODER), claim("no_such_metric", ENCODER, DECODER)))
    findings = find(load_study(tmp_path))
    content = gather(findings)
    text, verdicts = html_page(content, plots={}), [judged["verdict"] for judged in results_json(content)["claims"]]
    assert verdicts == ["REPLICATES", "DOES NOT REPLICATE", "EXPECTED REVERSAL", "NO VERDICT", "NO VERDICT"]
    assert "84.4 against 82.1" in text and "[M] from memory of the literature, not verified" in text


def test_losses_of_different_objectives_never_share_an_axis(built):
    from experiments.report.curves_plot import curves_figure

    panels = curves_figure(load_study(built)).axes
    encoder, decoder, prefix, sequence = (panel.get_ylim() for panel in panels[:4])
    assert len({encoder, decoder, prefix}) == 3 and prefix == sequence  # only the same objective shares its scale
    assert all("own scale" in panel.get_ylabel() for panel in panels[:4])


def test_the_machine_is_that_of_the_cells(tmp_path):
    make_study(tmp_path)
    assert load_study(tmp_path).record["environment"]["jax"] == "0.10.2"
    write_json_atomic(tmp_path / "cells" / DECODER / "seed_1" / "environment.json",
                      {"driver": "570.1", "corpus_sha256": "cd" * 32})
    found = load_study(tmp_path).record["environment"]
    assert found["driver"] == "570.1" and found["corpus_sha256"] == "ab" * 32


def test_no_study_is_one_line(tmp_path):
    with pytest.raises(UserError, match="not the directory of a study"):
        build_report(tmp_path)
    root = pathlib.Path(__file__).parents[2]
    ran = subprocess.run([sys.executable, "-m", "experiments.report", str(tmp_path)], cwd=root, capture_output=True,
                         text=True)
    assert ran.returncode != 0 and ran.stderr.count("\n") == 1 and "study.json" in ran.stderr


def test_a_single_run_has_a_report_of_its_own(tmp_path, undrawn):
    """One arm, one seed, no shared metric: curves, costs and config, and nothing that compares."""
    make_study(tmp_path, run=False)
    record = json.loads((tmp_path / "study.json").read_text())
    write_json_atomic(tmp_path / "study.json", {**record, "title": "Run base", "arms": record["arms"][1:2],
                                                "seeds": [4], "metrics": [], "cells": ".", "differs": {}})
    make_cell(tmp_path, arm=1, seed=4)
    page = build_report(tmp_path).read_text()
    assert "Run report" in page and "Learning curves" in page
    assert "The answer" not in page and "against the reference" not in page and "can and cannot show" not in page
    assert "1.06 M" in terminal_summary(tmp_path)


def test_arms_that_are_measured_in_different_ways_say_how(tmp_path, undrawn):
    """Each arm's way stands as a note beside its value, and none does where all are measured alike."""
    make_study(tmp_path)
    cells = {slug: [tmp_path / "cells" / slug / f"seed_{seed}" / "result.json" for seed in range(3)]
             for slug in (ENCODER, DECODER)}
    for slug, paths in cells.items():
        for path in paths:
            result = json.loads(path.read_text())
            result["metrics"]["classification/own"]["how"] = f"read as {slug}"
            result["metrics"]["minimal_pairs/swap"]["how"] = "read alike"
            write_json_atomic(path, result)
    page = build_report(tmp_path).read_text()
    assert f"read as {ENCODER}" in page and f"read as {DECODER}" in page and "read alike" not in page
