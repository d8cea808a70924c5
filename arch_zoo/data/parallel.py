"""Parallel text: pairs of a source and a target, such as sentences and their translations."""

import hashlib
import itertools
import json
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from arch_zoo.data.local_text import hashes_of, lines_of
from arch_zoo.data.splits import NAMED, SPLIT_NAME, CarvedPairs
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean

if TYPE_CHECKING:  # importing it loads every model and objective
    from arch_zoo.config import DataConfig

_SCAN = re.compile(r"IN: (.*?) OUT: (.*)")  # the lines of SCAN (Lake & Baroni 2018)


class ParallelText(CarvedPairs):
    """parallel:SOURCES,TARGETS: two text files whose lines correspond; or parallel:FILE, with a pair in each line.

    Such a file is JSON-lines (.jsonl) with two fields, which `data.text_field` names, has a tab between the two texts
    (.tsv), or is written as SCAN's are, "IN: source OUT: target". A * in a path stands for the name of a split:
    parallel:train/news_*.en,train/news_*.de finds news_train.en, news_val.en, news_test_2016.en and their counterparts.
    Without one, or for splits that it does not find, held-out pairs are carved out of the training file.
    """

    def __init__(self, config: "DataConfig"):
        self.name, self._fields = config.corpus, config.text_field
        self._advice = "add pairs, or give held-out files: a * in the path stands for train, validation and test"
        patterns = self.name.removeprefix("parallel:").split(",")
        if len(patterns) > 2 or not all(patterns):
            raise UserError(f"data.corpus={self.name}: expected parallel:SOURCES,TARGETS or parallel:FILE")
        found = [_files_by_split(self.name, pattern) for pattern in patterns]
        if lacking := sorted(set(found[0]) ^ set(found[-1])):
            raise UserError(f"data.corpus={self.name}: {patterns[0]} and {patterns[1]} are not of the same splits; "
                            f"only one has {', '.join(lacking)}")
        self._files = {split: tuple(files[split] for files in found) for split in found[0]}
        if "train" not in self._files:
            there = ", ".join(sorted(self._files))
            raise UserError(f"data.corpus={self.name}: found files for {there}, none for train")
        self._present = frozenset(self._files)
        names = {f"{split} {side}{path.suffix}": path for split, files in self._files.items()
                 for side, path in enumerate(files)}
        key = hashlib.sha256(self.name.encode() + str(pathlib.Path.cwd()).encode()).hexdigest()[:16]
        identity = ["parallel", self._fields, hashes_of(names, key, config.cache_dir)]
        self.fingerprint = hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def _read_pairs(self, split: str) -> Iterator[tuple[str, str, str]]:
        return read_pairs(self._files[split], self._fields)


def read_pairs(files: Sequence[pathlib.Path], fields: str) -> Iterator[tuple[str, str, str]]:
    """("FILE:LINE", source, target) of two files whose lines correspond, or of one with a pair in each line."""
    pairs = _lines_of_two(*files) if len(files) == 2 else _lines_of_one(files[0], fields)
    return ((f"{files[0]}:{number}", *pair) for number, pair in enumerate(pairs, start=1))


def _lines_of_one(path: pathlib.Path, fields: str) -> Iterator[tuple[str, str]]:
    for number, line in enumerate(lines_of(path), start=1):
        if path.suffix == ".jsonl":
            yield _from_json(line, f"{path}:{number}", fields)
        elif path.suffix == ".tsv":
            if line.count("\t") != 1:
                raise UserError(f"{path}:{number}: has {line.count(chr(9))} tabs; one stands between the texts")
            yield tuple(line.split("\t"))
        elif match := _SCAN.fullmatch(line.rstrip("\n")):
            yield match.groups()
        else:
            raise UserError(f"{path}:{number}: not a pair; a file of pairs is a .tsv, a .jsonl, or has lines like "
                            f"SCAN's, IN: source OUT: target")


def _from_json(line: str, where: str, fields: str) -> tuple[str, str]:
    names = fields.split(",")
    if len(names) != 2:
        raise UserError(f"data.text_field={fields}: pairs in JSON-lines have two fields; name them as "
                        f"SOURCE,TARGET")
    try:
        record = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not JSON ({error})") from None
    for name in names:
        if not isinstance(record, dict) or not isinstance(record.get(name), str):
            there = ", ".join(record) if isinstance(record, dict) else "no fields"
            raise UserError(f"{where}: has no text in a field {name!r}; data.text_field names both fields, "
                            f"SOURCE,TARGET; here are: {there}")
    return " ".join(record[names[0]].split()), " ".join(record[names[1]].split())


def _lines_of_two(source: pathlib.Path, target: pathlib.Path) -> Iterator[tuple[str, str]]:
    for number, pair in enumerate(itertools.zip_longest(lines_of(source), lines_of(target)), start=1):
        if None in pair:
            shorter, longer = (source, target)[::1 if pair[0] is None else -1]
            raise UserError(f"{shorter}: ends before line {number}, which {longer} has; lines must correspond")
        yield pair


def _files_by_split(corpus: str, pattern: str) -> dict[str, pathlib.Path]:
    """{split: file}: a pattern without * is the training file."""
    path = pathlib.Path(pattern).expanduser()
    if "*" not in pattern:
        if not path.is_file():
            siblings = [str(other) for other in path.parent.glob("*")]
            raise UserError(f"data.corpus={corpus}: {pattern} is no file.{did_you_mean(str(path), siblings)}")
        return {"train": path}
    if path.name.count("*") != 1 or "*" in str(path.parent):
        raise UserError(f"data.corpus={corpus}: {pattern} must have one *, in the name of the file")
    before, after = path.name.split("*")
    files = {}
    for file in sorted(path.parent.glob(path.name)):
        if match := SPLIT_NAME.match(file.name[len(before):len(file.name) - len(after)]):
            split = NAMED[(match[1] or match[3]).lower()]
            if split in files:
                raise UserError(f"data.corpus={corpus}: {files[split].name} and {file.name} are both for {split}")
            files[split] = file
    if not files:
        raise UserError(f"data.corpus={corpus}: no file has train, validation or test in place of the * of {pattern}")
    return files
