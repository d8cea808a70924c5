"""A study's directory read back: what was planned, what was measured, what is not there."""

import contextlib
import dataclasses
import functools
import pathlib
from collections.abc import Iterable
from typing import Any, Literal

from arch_zoo.errors import UserError
from arch_zoo.files import read_json
from arch_zoo.training.layout import ENVIRONMENT_FILE
from arch_zoo.training.metrics import read_metrics
from experiments.studies.layout import FAILED_FILE, STUDY_FILE


@dataclasses.dataclass(frozen=True)
class Metric:
    """A shared metric, as study.json describes it."""

    key: str
    title: str
    better: Literal["higher", "lower"]
    unit: str
    chance: float | None
    about: str


@dataclasses.dataclass(frozen=True)
class Measured:
    """One metric of one cell: a value, or the reason why there is none."""

    value: float | None
    count: int | None = None
    reason: str = ""
    how: str = ""
    profile: tuple[float, ...] = ()  # by block, from the input to the output


@dataclasses.dataclass(frozen=True)
class Cell:
    """One arm with one seed. `problem` is '' for a cell that is done."""

    arm: str
    seed: int
    problem: str
    result: dict[str, Any]
    curve: list[dict[str, Any]]
    learning_rate: float | None = None  # that of its own config.json; read only where the study tuned it

    @property
    def done(self) -> bool:
        return not self.problem

    def measured(self, key: str) -> Measured:
        """A metric of this cell. A group without meaning for the arm stands under the key's part before '/'."""
        if not self.done:
            return Measured(None, reason=self.problem)
        metrics = self.result.get("metrics", {})
        entry = metrics.get(key) or metrics.get(key.split("/")[0]) or {}
        if entry.get("value") is not None and key not in metrics:
            entry = {}
        value = entry.get("value")
        reason = "" if value is not None else entry.get("reason") or "not measured"
        return Measured(value, entry.get("count"), reason, entry.get("how", ""), tuple(entry.get("profile", ())))


@dataclasses.dataclass(frozen=True)
class Study:
    """study.json and every cell that it plans, done or not."""

    record: dict[str, Any]
    cells: dict[tuple[str, int], Cell]

    @property
    def names(self) -> dict[str, str]:
        """{slug: name} of the arms, in the study's order."""
        return {arm["slug"]: arm["name"] for arm in self.record["arms"]}

    @property
    def compared(self) -> dict[str, str]:
        """`names` without the arms that only prepare others: those cost something and have curves, no more."""
        return {arm["slug"]: arm["name"] for arm in self.record["arms"] if not arm.get("preparation")}

    @property
    def quoted(self) -> dict[str, str]:
        """The names for use in sentences: they may hold commas."""
        return {slug: f"“{name}”" for slug, name in self.names.items()}

    @property
    def seeds(self) -> list[int]:
        return self.record["seeds"]

    @property
    def reference(self) -> str:
        """The arm that others are compared with: as recorded, or the first one where that only prepares others."""
        named = self.record["reference"]
        return named if named in self.compared or not self.compared else next(iter(self.compared))

    @functools.cached_property
    def metrics(self) -> list[Metric]:
        return [Metric(m["key"], m["title"], m["better"], m.get("unit", ""), m.get("chance"), m.get("about", ""))
                for m in self.record["metrics"]]

    def metric(self, key: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.key == key), None)

    def optimum(self, metric: Metric) -> float | None:
        """The best value that a metric can take, where the study knows it."""
        return self.record.get("optimum", {}).get(metric.key)

    def objective(self, slug: str) -> str:
        """Name of the objective that an arm is trained by."""
        return self.record["configs"][slug]["objective"]["name"]

    def cells_of(self, slug: str) -> list[Cell]:
        """An arm's cells in the order of seeds."""
        return [self.cells[slug, seed] for seed in self.seeds]

    def values(self, slug: str, key: str) -> dict[int, float]:
        """{seed: value} of a metric, for the seeds that have one."""
        measured = {cell.seed: cell.measured(key).value for cell in self.cells_of(slug)}
        return {seed: value for seed, value in measured.items() if value is not None}

    def reasons(self, slug: str, key: str) -> list[str]:
        """The different reasons why seeds of an arm lack a value, those of the metric itself only."""
        found = (cell.measured(key).reason for cell in self.cells_of(slug) if cell.done)
        return list(dict.fromkeys(reason for reason in found if reason))

    def how(self, slug: str, key: str) -> str:
        """The way in which a metric is measured on an arm, where its cells say so."""
        return next((how for cell in self.cells_of(slug) if (how := cell.measured(key).how)), "")

    def unfinished(self) -> list[Cell]:
        """The cells without a result, in the study's order."""
        return [cell for cell in self.cells.values() if not cell.done]


def load_study(workdir: pathlib.Path) -> Study:
    """Read a study's directory. UserError where it is none; cells that failed or are missing are part of the record."""
    path = workdir / STUDY_FILE
    if not path.is_file():
        raise UserError(f"{workdir}: not the directory of a study or a run (it has no study.json)")
    record = {key: value for key, value in read_json(path).items() if value is not None}
    needed = ("arms", "seeds", "cells", "metrics", "reference", "configs", "ledger")
    missing = [key for key in needed if key not in record]
    if missing:
        raise UserError(f"{path}: not the record of a study: it lacks {', '.join(missing)}")
    tuned = "tuning" in record
    places = {(arm["slug"], seed): workdir / record["cells"].format(arm=arm["slug"], seed=seed)
              for arm in record["arms"] for seed in record["seeds"]}
    cells = {who: _load_cell(place, *who, tuned) for who, place in places.items()}
    # Whoever planned the study did not look at the machine that computes.
    record["environment"] = _environment_of_first(places.values()) | record.get("environment", {})
    return Study(record, cells)


def _environment_of_first(cells: Iterable[pathlib.Path]) -> dict[str, Any]:
    """environment.json of the first cell that has begun to train."""
    for cell in cells:
        with contextlib.suppress(UserError):  # damaged
            if (cell / ENVIRONMENT_FILE).exists():
                return read_json(cell / ENVIRONMENT_FILE)
    return {}


def _load_cell(directory: pathlib.Path, slug: str, seed: int, tuned: bool) -> Cell:
    problem, result, rate = "", {}, None
    try:
        if (directory / "result.json").exists():
            result = read_json(directory / "result.json")
        elif (directory / FAILED_FILE).exists():
            problem = f"failed: {read_json(directory / FAILED_FILE)['error']}"
        elif (directory / "metrics.jsonl").exists():
            problem = "unfinished: it began to train and left no result"
        else:
            problem = "not run"
        if tuned and (directory / "config.json").exists():
            rate = read_json(directory / "config.json")["optimizer"]["learning_rate"]
    except (UserError, KeyError) as error:
        problem = f"damaged: {error}".replace(f"{directory}/", "")
    return Cell(slug, seed, problem, result, read_metrics(directory), rate)
