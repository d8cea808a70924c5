"""The published ablations that there are: one file each in configs/studies/, named by paper and table."""

import dataclasses
import importlib.util
import inspect
import pathlib
from typing import Any

from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import override
from experiments.ablations import sources
from experiments.ablations.protocol import SCALES, changed_base
from experiments.program import in_file
from experiments.studies.config import StudyConfig

HOME = pathlib.Path(__file__).parents[2] / "configs" / "studies"


@dataclasses.dataclass(frozen=True)
class Ablation:
    """`table` is what --table calls it; `about` the first line of its file."""

    table: str
    path: pathlib.Path
    module: Any

    @property
    def about(self) -> str:
        return (self.module.__doc__ or "").partition("\n")[0]

    def study(self, scale: str, data: str | None, changes: dict[str, Any] | None = None) -> StudyConfig:
        """The study at a scale, with changes. UserError where it has no such scale, or its data is not there."""
        changes = changes or {}
        of_base = {path.removeprefix("base."): value for path, value in changes.items() if path.startswith("base.")}
        with in_file(self.path, self.table):
            defined = self.module.get_config(scale, data)
        override(defined, changes)  # a field that there is not is named as it was given
        with in_file(self.path, self.table), changed_base(of_base):
            study = self.module.get_config(scale, data)
        study = override(study, {path: value for path, value in changes.items() if not path.startswith("base.")})
        return study.replace(stand_in=sources.stand_in(study, defined))


def ablations() -> dict[str, Ablation]:
    """{table: ablation} of all files whose get_config takes a scale and data, sorted."""
    found = {}
    for path in sorted(HOME.glob("*.py")):
        specification = importlib.util.spec_from_file_location(f"ablation_{path.stem}", path)
        module = importlib.util.module_from_spec(specification)
        with in_file(path):
            specification.loader.exec_module(module)
        get_config = getattr(module, "get_config", None)  # a file may only help others
        if get_config is not None and list(inspect.signature(get_config).parameters) == ["scale", "data"]:
            table = path.stem.replace("_", ".", 1)
            found[table] = Ablation(table, path, module)
    return found


def find(table: str, scale: str) -> Ablation:
    """The ablation of this name; UserError names those nearest to it."""
    known = ablations()
    if table not in known:
        raise UserError(f"--table={table}: there is none of that name.{did_you_mean(table, known)} "
                        f"python -m experiments.reproduce lists them")
    if scale not in SCALES:
        raise UserError(f"--scale={scale}: one of {', '.join(SCALES)}.{did_you_mean(scale, SCALES)}")
    return known[table]
