"""The queue of cells: each taken by one runner, tried again, given up, begun after others; with cells of no work."""

import contextlib
import dataclasses
import os
import threading
import time

import pytest

from arch_zoo.files import read_json, write_json_atomic
from experiments.studies.layout import FAILED_FILE
from experiments.studies.queue import Queue, QueuedCell


class Job:
    """A cell that ends after some looks at it, with or without a result."""

    def __init__(self, cell, fails, looks, ended):
        self.cell, self.fails, self.looks, self.ended = cell, fails, looks, ended

    def exit_code(self):
        if self.looks == 0:
            if not self.fails:
                write_json_atomic(self.cell / "result.json", {})
            self.ended(self)
        self.looks -= 1
        return None if self.looks >= 0 else int(self.fails)


class Crew:
    """Runs cells at once in name; `fails(cell name, how often it began)` says which fail. Begun are all that it began.
    """

    def __init__(self, size=2, fails=lambda name, attempt: False, looks=0):
        self.size, self.fails, self.looks, self.begun, self.running = size, fails, looks, [], []

    def room(self):
        return self.size - len(self.running)

    def start(self, cells, locks):
        assert len(cells) <= self.room()
        jobs = []
        for cell, lock in zip(cells, locks, strict=True):
            os.fstat(lock)  # open
            (cell / FAILED_FILE).unlink(missing_ok=True)
            self.begun.append(cell.name)
            fails = self.fails(cell.name, self.begun.count(cell.name))
            jobs.append(Job(cell, fails, self.looks, self.running.remove))
        self.running += jobs
        return jobs


class Progress:
    """Keeps what a person would read."""

    def __init__(self):
        self.lines = []

    def running(self, cells):
        pass

    def tell(self, what):
        self.lines.append(what)

    def ended(self, cell, outcome):
        self.lines.append(f"{cell.name}: {outcome}")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr("experiments.studies.queue._PAUSE", 0.001)


def make_cells(home, *names, after=()):
    cells = []
    for name in names:
        (home / name).mkdir(parents=True, exist_ok=True)
        cells.append(QueuedCell(home / name, f"cell {name}", tuple(after)))
    return cells


def test_all_cells_are_run_once_and_a_second_runner_finds_them_done(tmp_path):
    cells, crew, progress = make_cells(tmp_path, *"abcde"), Crew(), Progress()
    assert Queue(cells, crew, 0, progress).run() == []
    assert crew.begun == list("abcde")
    assert all(": done in" in line for line in progress.lines)
    again = Crew()
    assert Queue(cells, again, 0, Progress()).run() == [] and again.begun == []


def test_what_fails_is_tried_again_and_then_named_while_the_rest_goes_on(tmp_path):
    cells = make_cells(tmp_path, *"abc")
    crew, progress = Crew(fails=lambda name, attempt: name == "b" or (name == "c" and attempt == 1)), Progress()
    assert [cell.label for cell in Queue(cells, crew, 1, progress).run()] == ["cell b"]
    assert {name: crew.begun.count(name) for name in "abc"} == {"a": 1, "b": 2, "c": 2}
    assert read_json(tmp_path / "b" / FAILED_FILE)["failures"] == 2
    assert sum("it is tried again" in line for line in progress.lines) == 2
    later = Crew()
    assert Queue(cells, later, 0, Progress()).run() == [] and later.begun == ["b"]  # a later runner counts anew


def test_a_cell_that_failed_for_another_runner_meanwhile_is_not_tried_by_this_one(tmp_path):
    cells = make_cells(tmp_path, *"ab")
    mine = Queue(cells, crew := Crew(size=1), 0, progress := Progress())
    assert Queue([cells[1]], Crew(fails=lambda name, attempt: True), 0, Progress()).run() == [cells[1]]
    assert mine.run() == [cells[1]] and crew.begun == ["a"]
    assert any(line.startswith("b: FAILED: killed before it could begin") for line in progress.lines)


def test_where_a_cell_has_ended_one_like_it_goes_first(tmp_path):
    names = ["a0", "b0", "c0", "a1", "b1", "c1"]
    cells = [dataclasses.replace(cell, program=cell.directory.name[0]) for cell in make_cells(tmp_path, *names)]
    crew = Crew(size=1)
    assert Queue(cells, crew, 0, Progress()).run() == []
    assert crew.begun == ["a0", "a1", "b0", "b1", "c0", "c1"]
    assert Queue(make_cells(tmp_path / "unlike", *names), crew := Crew(size=1), 0, Progress()).run() == []
    assert crew.begun == names


def test_cells_begin_after_those_they_need_and_never_where_these_have_failed(tmp_path):
    first = make_cells(tmp_path, "first")
    then = make_cells(tmp_path, "then", after=first)
    last = make_cells(tmp_path, "last", after=then)
    crew = Crew(size=5)
    assert Queue([*last, *then, *first], crew, 0, Progress()).run() == []
    assert crew.begun == ["first", "then", "last"]

    first = make_cells(tmp_path / "x", "first")
    then = make_cells(tmp_path / "x", "then", after=first)
    last = make_cells(tmp_path / "x", "last", after=then)
    crew, progress = Crew(fails=lambda name, attempt: True), Progress()
    assert Queue([*last, *then, *first], crew, 0, progress).run() == [*last, *then, *first]
    assert crew.begun == ["first"]
    assert "it begins where cell first ends, and that has failed" in read_json(then[0].directory / FAILED_FILE)["error"]


def test_runners_share_the_work_and_nothing_runs_twice_at_any_time(tmp_path):
    """Eight threads as runners on one directory; a tenth of the starts fails; each start takes a lock of its own."""
    cells, overlaps, done = make_cells(tmp_path, *(f"c{i}" for i in range(60))), [], []
    inside, guard = set(), threading.Lock()

    class Watched(Crew):
        def start(self, chosen, locks):
            with guard:
                overlaps.extend(cell.name for cell in chosen if cell.name in inside)
                inside.update(cell.name for cell in chosen)
            jobs = super().start(chosen, locks)
            for job in jobs:
                job.ended = self.left
            return jobs

        def left(self, job):
            self.running.remove(job)
            with guard:
                inside.discard(job.cell.name)
                if not job.fails:
                    done.append(job.cell.name)

    crews = [Watched(size=3, fails=lambda name, attempt: hash((name, attempt)) % 10 == 0, looks=2) for _ in range(8)]
    threads = [threading.Thread(target=lambda crew=crew: Queue(cells, crew, 100, Progress()).run()) for crew in crews]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert sorted(done) == sorted(cell.directory.name for cell in cells)  # each once
    assert overlaps == []
    assert sum(len(crew.begun) > 0 for crew in crews) > 1


def test_a_cell_that_somebody_else_has_is_waited_for(tmp_path):
    from experiments.studies.queue import take

    cells = make_cells(tmp_path, "a")
    lock = take(cells[0])
    assert take(cells[0]) is None
    crew, progress = Crew(), Progress()
    runner = threading.Thread(target=lambda: Queue(cells, crew, 0, progress).run())
    runner.start()
    time.sleep(0.1)
    assert crew.begun == [] and runner.is_alive()
    write_json_atomic(tmp_path / "a" / "result.json", {})
    with contextlib.closing(os.fdopen(lock)):
        pass
    runner.join(60)
    assert crew.begun == [] and progress.lines == ["a: done by another runner"]
