"""Dry runs of sweeps: the cells, the ledger, and what was timed; those of studies and ablations are beside their tests.
"""

from tests.runs import many, tiny_flags, write_corpus

SWEEP = "experiments.sweep"


def flags(tmp_path) -> list[str]:
    return tiny_flags(write_corpus(tmp_path / "text.txt"), tmp_path / "study")


def test_a_dry_run_counts_the_cells_of_learning_rates_on_trial(tmp_path):
    ended, = many([(SWEEP, [*flags(tmp_path), "--sweep=model.gated=true,false", "--dry_run", "--seeds=2",
                            "--study.tuning.rates=1e-3,3e-3"])], preload=("experiments.studies.dry_run",))
    assert ended["code"] == 0, ended["err"]
    assert "8 cells: 2 arms × (2 seeds + 2 learning rates on trial), " in ended["out"]
    assert "learning rates on trial: 1e-3, 3e-3, each for 25% of the steps" in ended["out"]
    assert "of training and compilation for 8 cells" in ended["out"]


def test_a_dry_run_prints_cells_ledger_and_what_was_measured(tmp_path):
    (tmp_path / "two.py").write_text(
        '"""Two depths."""\ndef get_hyper(hyper): return hyper.sweep("model.depth", [1, 2])')
    ended, = many([(SWEEP, [*flags(tmp_path), f"--sweep_file={tmp_path}/two.py", "--dry_run", "--seeds=2",
                            "--sweep=optimizer.learning_rate=1e-3,1e-2"])], preload=("experiments.studies.dry_run",))
    assert ended["code"] == 0, ended["err"]
    lines = ended["out"].splitlines()
    assert "8 cells: 4 arms × 2 seeds, matched by steps, compared with depth_1_learning_rate_1e_3" in lines
    rows = {words[0]: words for line in lines if (words := line.split())}
    assert rows["depth_1_learning_rate_1e_3"][-1] == rows["depth_2_learning_rate_1e_3"][-1] == "measured"
    assert rows["depth_1_learning_rate_0_01"][-2:] == ["as", "depth_1_learning_rate_1e_3"]
    assert "of training and compilation for 8 cells" in ended["out"]
    assert not (tmp_path / "study").exists()
