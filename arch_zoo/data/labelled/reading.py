"""Examples from where they are: a folder, files for training and held-out examples, or TensorFlow Datasets."""

import dataclasses
import json
import pathlib
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping
from typing import Any

from arch_zoo.data.labelled.task import Labelled, Task
from arch_zoo.data.local_text import lines_of
from arch_zoo.data.splits import NAMED, SPLIT_NAME
from arch_zoo.data.tfds_text import prepared_builder
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean

_SUFFIXES = (".tsv", ".jsonl", ".xml", ".txt")
Rows = list[tuple[str, Mapping[str, Any]]]  # (where it stands, {column: value})


@dataclasses.dataclass(frozen=True)
class _Table:
    source: str
    columns: tuple[str, ...]
    rows: Rows


def read_task(task: Task, data: str) -> Labelled:
    """The examples of a task. UserError, in one line, for whatever is wrong with them.

    data: a folder, in which files are known by their names; TRAIN,DEV, two files; or tfds:NAME.
    """
    if data.startswith("tfds:"):
        sources = {split: [data] for split in ("train", "validation")}
        tables = {split: [_from_tfds(task, data, split)] for split in sources}
    else:
        sources = _files(task, data)
        tables = {split: [_from_file(task, path) for path in paths] for split, paths in sources.items()}
    columns = {id(table): task.columns(table.columns, table.source) for found in tables.values() for table in found}
    labels = task.labels_of([row[columns[id(table)]["label"]] for table in tables["train"] for _, row in table.rows])
    examples = {split: [task.example(row, columns[id(table)], labels, where) for table in found
                        for where, row in table.rows] for split, found in tables.items()}
    return Labelled(task.name, task.kind, labels, task.measured_by(), examples["train"], examples["validation"],
                    {split: tuple(map(str, paths)) for split, paths in sources.items()}, task.roles)


# --- which files -------------------------------------------------------------------------------------------------

def _files(task: Task, data: str) -> dict[str, list[pathlib.Path]]:
    """{"train" and "validation": files}."""
    paths = [pathlib.Path(part).expanduser() for part in data.split(",")]
    for path in paths:
        if not path.exists():
            siblings = [str(other) for other in path.parent.glob("*")] if path.parent.is_dir() else []
            raise UserError(f"data={data}: {path} is not there.{did_you_mean(str(path), siblings)}")
    if len(paths) == 1 and paths[0].is_dir():
        return _files_in(task, paths[0])
    if len(paths) != 2 or any(path.is_dir() for path in paths):
        raise UserError(f"data={data}: expected a folder, two files TRAIN,DEV, or tfds:NAME")
    return {"train": [paths[0]], "validation": [paths[1]]}


def _files_in(task: Task, folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    """By the names of splits in those of files; where several tasks share the folder, by the task's name, too."""
    files = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES)
    if named := [path for path in files if path.name.lower().startswith(task.name)]:
        files = named
    found: dict[str, list[pathlib.Path]] = {}
    for path in files:
        if match := SPLIT_NAME.search(path.stem):
            split = NAMED[(match[1] or match[3]).lower()]
            if path.stem.endswith(task.splits.get(split, "")):
                found.setdefault(split, []).append(path)
    if "train" not in found and {"validation", "test"} <= found.keys():  # the challenges of RTE: development and test
        found = {"train": found["validation"], "validation": found["test"]}
    for split, words in (("train", "train"), ("validation", "dev or validation")):
        if split not in found:
            there = ", ".join(path.name for path in sorted(folder.iterdir())[:12]) or "nothing"
            raise UserError(f"data={folder}: no file for task={task.name} has {words} in its name and ends in "
                            f"{', '.join(_SUFFIXES)}; name two files, --data=TRAIN,DEV. There are: {there}")
    return {split: found[split] for split in ("train", "validation")}


# --- what is in them ---------------------------------------------------------------------------------------------

def _from_file(task: Task, path: pathlib.Path) -> _Table:
    read = {".xml": _from_xml, ".jsonl": _from_json_lines}.get(path.suffix, _from_tsv)
    table = read(task, path)
    if not table.rows:
        raise UserError(f"{path}: has no examples")
    return table


def _from_tsv(task: Task, path: pathlib.Path) -> _Table:
    lines = [line.rstrip("\n") for line in lines_of(path)]
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        raise UserError(f"{path}: empty")
    first = lines[0].split("\t")
    bare = task.column_names(first)
    columns, rows = bare or tuple(name.strip() for name in first), []
    task.columns(columns, str(path))  # before a line is judged by a header that is none
    for number, line in enumerate(lines, start=1):
        where, cells = f"{path}:{number}", line.split("\t")
        if not line.strip():
            raise UserError(f"{where}: an empty row")
        if len(cells) != len(columns):
            raise UserError(f"{where}: has {len(cells)} columns, and the first row has {len(columns)}")
        if bare is not None or number > 1:
            rows.append((where, dict(zip(columns, cells, strict=True))))
    return _Table(str(path), columns, rows)


def _from_json_lines(task: Task, path: pathlib.Path) -> _Table:
    rows, columns = [], ()
    for number, line in enumerate(lines_of(path), start=1):
        where = f"{path}:{number}"
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where}: {'an empty row' if not line.strip() else f'not JSON ({error})'}") from None
        if not isinstance(row, dict):
            raise UserError(f"{where}: expected an object with columns, got {line.strip()[:60]}")
        columns = columns or tuple(row)
        needed = task.columns(columns, where).values()
        if lacking := [name for name in needed if name not in row]:
            raise UserError(f"{where}: has no field {lacking[0]!r}; here are: {', '.join(row)}")
        rows.append((where, row))
    return _Table(str(path), columns, rows)


def _from_xml(task: Task, path: pathlib.Path) -> _Table:
    """The challenges of Recognising Textual Entailment: <pair value="TRUE"><t>…</t><h>…</h></pair>."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise UserError(f"{path}: not readable as XML ({error})") from None
    rows = []
    for number, pair in enumerate(root.iter("pair"), start=1):
        texts = {name: re.sub(r"\s+", " ", pair.findtext(tag) or "") for name, tag in
                 (("sentence1", "t"), ("sentence2", "h"))}
        rows.append((f"{path}, pair {pair.get('id', number)}",
                     texts | {"label": pair.get("value") or pair.get("entailment") or ""}))
    return _Table(str(path), ("sentence1", "sentence2", "label"), rows)


def _from_tfds(task: Task, data: str, split: str) -> _Table:
    builder = prepared_builder(data)
    name = split + task.splits.get(split, "")
    if name not in builder.info.splits:
        raise UserError(f"{data}: has no {name} split; it has {', '.join(builder.info.splits)}")
    features = builder.info.features
    rows = [(f"{data} {name} record {number}", {column: _plain(value, features[column])
                                                for column, value in record.items()})
            for number, record in enumerate(builder.as_data_source(split=name))]
    return _Table(data, tuple(features), rows)


def _plain(value: Any, feature: Any) -> Any:
    """Text for bytes, the name for a class, a Python value for a NumPy scalar."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    names: Iterator[str] | None = getattr(feature, "names", None)
    if names and int(value) >= 0:
        return names[int(value)]
    return value.item() if hasattr(value, "item") and getattr(value, "ndim", 0) == 0 else value
