"""The Slurm engine with stand-ins for Slurm's commands; test_slurm_cluster.py has it on a real cluster."""

import os
import re
import sys

import pytest

from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic
from experiments.engines import slurm
from experiments.engines.slurm import Place, Slurm
from experiments.studies.progress import StudyProgress
from tests.runs import VARIANTS, assert_one_line, many, write_corpus


@pytest.fixture
def stand_ins(tmp_path, monkeypatch):
    """Commands that do what files say: queue.txt is what squeue prints; sbatch counts, and has refusal.txt to say."""
    pytest.importorskip("submitit")
    home = tmp_path / "bin"
    home.mkdir()
    scripts = {"srun": "true",
               "squeue": f"test -e {home}/down && {{ echo 'slurm_load_jobs error: no controller' >&2; exit 1; }}; "
                         f"echo x >> {home}/looks; cat {home}/queue.txt",
               "sbatch": f"cp \"$1\" {home}/script; "
                         f"test -e {home}/refusal.txt && {{ cat {home}/refusal.txt >&2; exit 1; }}; "
                         f"echo x >> {home}/submitted; echo Submitted batch job $(wc -l < {home}/submitted)"}
    for name, script in scripts.items():
        (home / name).write_text(f"#!/bin/sh\n{script}\n")
        (home / name).chmod(0o755)
    (home / "queue.txt").touch()
    monkeypatch.setenv("PATH", f"{home}:{os.environ['PATH']}")
    return home


@pytest.fixture
def cells(tmp_path):
    """Three cells of a study, with nothing in them."""
    study = tmp_path / "my study"
    write_json_atomic(study / "study.json", {})
    directories = [study / "cells" / "arm" / f"seed_{seed}" for seed in range(3)]
    for directory in directories:
        directory.mkdir(parents=True)
    return directories


def count(path):
    return len(path.read_text().splitlines()) if path.exists() else 0


def queue_says(home, **states):
    """squeue's rows: the state of every place, by `name_index`."""
    rows = [f"{key.rpartition('_')[0]}|{key.rpartition('_')[2]}|{state}\n" for key, state in states.items()]
    (home / "queue.txt").write_text("".join(rows))


def test_options_become_lines_for_sbatch(stand_ins, cells):
    options = Slurm(partition="long", account="lab", qos="low", constraint="a100", array_parallelism=2, time_minutes=30,
                    save_seconds=45, cpus=3, gpus=1, memory_gb=1.5, prelude="module load cuda")
    with options.crew() as crew:
        crew.start(cells, [])
    script = (stand_ins / "script").read_text()
    for line in ("--partition=long", "--account=lab", "--qos=low", "--constraint=a100", "--array=0-2%2", "--time=30",
                 "--signal=USR2@45", "--cpus-per-task=3", "--gpus-per-node=1", "--mem=1536MB", "--requeue",
                 f"--job-name={read_json(cells[0] / 'slurm.json')['name']}"):
        assert f"#SBATCH {line}\n" in script
    assert "\nmodule load cuda\n" in script and "srun --unbuffered" in script
    assert re.search(r"srun .* --cpus-per-task=3 .*submitit", script)
    assert (cells[0].parents[2] / "slurm").is_dir()


def test_options_that_are_not_given_leave_the_choice_to_the_cluster(stand_ins, cells):
    with Slurm().crew() as crew:
        crew.start(cells, [])
    script = (stand_ins / "script").read_text()
    for option in ("partition", "account", "qos", "constraint", "gpus", "mem"):
        assert f"#SBATCH --{option}" not in script


def test_time_outs_and_how_many_may_wait(stand_ins, cells):
    options = Slurm(time_outs=7, max_jobs=2)
    with options.crew() as crew:
        assert crew.room() == 2
        crew.start(cells[:1], [])
        assert crew.room() == 1
    [pickled] = (cells[0].parents[2] / "slurm").glob("*submitted.pkl")
    from submitit.core.utils import DelayedSubmission
    assert DelayedSubmission.load(pickled)._timeout_countdown == 7


def test_what_is_missing_is_one_line(stand_ins, tmp_path, monkeypatch):
    write_corpus(tmp_path / "text.txt")
    (stand_ins / "down").touch()
    with pytest.raises(UserError, match="squeue fails: no controller"), Slurm().crew():
        pass
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="needs Slurm's commands on PATH; missing: sbatch, squeue, srun"):
        with Slurm().crew():
            pass
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(UserError, match=r"needs submitit: pip install 'arch_zoo\[slurm\]'"), Slurm().crew():
        pass


def test_wrong_options_are_one_line():
    study = "experiments.study"
    config = "--config=configs/studies/families.py"
    ended = many([(study, [config, "--engine=slurm", "--time_minutes=1", "--save_seconds=60"]),
                  (study, [config, "--partition=long"]),
                  (study, [config, "--engine=slrm"])], VARIANTS)
    assert_one_line(ended[0], "save_seconds: 60 is not less than the time limit, time_minutes=1")
    assert_one_line(ended[1], "--partition needs --engine=slurm")
    assert_one_line(ended[2], ("unknown engine 'slrm'", "Did you mean 'slurm'"))


def test_what_sbatch_refuses_is_one_line_and_nothing_is_watched(stand_ins, cells):
    (stand_ins / "refusal.txt").write_text("sbatch: error: invalid partition specified: x\nsbatch: error: Batch job "
                                           "submission failed: Invalid partition name specified\n")
    with Slurm(partition="x").crew() as crew:
        with pytest.raises(UserError, match="^sbatch refuses: invalid partition specified: x; Batch job sub[^\n]*$"):
            crew.start(cells, [])
        assert crew.room() == Slurm().max_jobs
        (stand_ins / "refusal.txt").unlink()
        assert len(crew.start(cells, [])) == 3
    assert count(stand_ins / "submitted") == 1


def test_a_job_that_waits_or_runs_is_adopted_and_one_that_ended_is_not(stand_ins, cells, capsys):
    for index, cell in enumerate(cells):
        write_json_atomic(cell / "slurm.json", {"name": "old", "index": index})
    queue_says(stand_ins, old_0="RUNNING", old_1="CANCELLED", old_2="PENDING")
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        assert [job.exit_code() for job in jobs] == [None] * 3
    assert count(stand_ins / "submitted") == 1
    places = [slurm.place_of(cell) for cell in cells]
    assert places[0] == ("old", 0) and places[2] == ("old", 2)
    assert places[1].name.startswith("my_study-") and places[1].index == 0
    out = capsys.readouterr().out
    assert "Slurm has 2 of the cells already" in out
    assert f"3 cells stay with Slurm, waiting or running; the same command goes on watching them; to cancel them: " \
           f"scancel --name={places[1].name},old" in out


def test_who_interrupts_when_told_of_adopted_jobs_is_told_how_to_cancel_them(stand_ins, cells, capsys, monkeypatch):
    for index, cell in enumerate(cells):
        write_json_atomic(cell / "slurm.json", {"name": "old", "index": index})
    queue_says(stand_ins, old_0="RUNNING", old_1="PENDING", old_2="PENDING")

    def interrupted(line, **options):
        monkeypatch.delattr(slurm, "print")
        assert line.startswith("Slurm has 3")
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "print", interrupted, raising=False)
    with pytest.raises(KeyboardInterrupt), Slurm().crew() as crew:
        crew.start(cells, [])
    assert "3 cells stay with Slurm" in (out := capsys.readouterr().out) and "scancel --name=old\n" in out


def test_which_job_has_a_cell_is_written_before_it_is_submitted(stand_ins, cells, monkeypatch):
    """So a runner that is killed in between finds the job, or knows that there is none."""
    import submitit

    seen = []
    monkeypatch.setattr(submitit.SlurmExecutor, "submit_array",
                        lambda self, jobs: seen.extend((slurm.place_of(job.cell), job.place) for job in jobs))
    with Slurm().crew() as crew:
        crew.start(cells, [])
    assert len(seen) == 3 and all(written == given for written, given in seen)
    assert [place.index for place, _ in seen] == [0, 1, 2]


def test_only_the_job_that_the_cell_names_runs_it(cells):
    write_json_atomic(cells[0] / "slurm.json", {"name": "new", "index": 0})
    assert slurm.CellJob(cells[0], Place("old", 0))() == "another job has this cell"
    assert not (cells[0] / "cell.log").exists()


def test_how_a_job_ended(stand_ins, cells, monkeypatch):
    monkeypatch.setattr(slurm, "_PAUSE", 0.0)
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        name = slurm.place_of(cells[0]).name
        assert [job.exit_code() for job in jobs] == [None] * 3
        queue_says(stand_ins, **{f"{name}_0": "RUNNING", f"{name}_1": "OUT_OF_MEMORY", f"{name}_2": "COMPLETED"})
        write_json_atomic(cells[2] / "result.json", {})
        assert [job.exit_code() for job in jobs] == [None, 1, 0]
        assert f"job {name}, index 1: OUT_OF_MEMORY; its own log is in" in (cells[1] / "cell.log").read_text()
        (stand_ins / "down").touch()
        assert jobs[0].exit_code() is None, "a controller that does not answer is no news"
        (stand_ins / "down").unlink()
        queue_says(stand_ins)  # long ended; its result may be on its way through a network file system
        assert jobs[0].exit_code() is None
        monkeypatch.setattr(slurm, "_DELAY", 0.0)
        assert jobs[0].exit_code() == 1


def test_slurm_is_not_asked_more_often_than_every_few_seconds(stand_ins, cells):
    with Slurm().crew() as crew:
        jobs = crew.start(cells, [])
        before = count(stand_ins / "looks")
        for _ in range(100):
            assert [job.exit_code() for job in jobs] == [None] * 3
    assert count(stand_ins / "looks") <= before + 1


def test_cells_that_wait_have_no_log_yet_and_of_many_the_first_are_shown(cells, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    progress = StudyProgress({cell: f"cell {number}" for number, cell in enumerate(cells)}, 0)
    (cells[1] / "cell.log").write_text("cell 1 step 5/24  loss 3.2\n")
    progress.running(cells)
    assert re.search(r"cell 0: waiting +│ cell 1 step 5/24  loss 3.2 +\x1b", capsys.readouterr().out)
