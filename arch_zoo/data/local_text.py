"""Text from files of one's own, as a corpus."""

import hashlib
import itertools
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from arch_zoo.data.python_docs import PythonDocs
from arch_zoo.data.splits import NAMED, SPLIT_NAME, Carved
from arch_zoo.errors import UserError
from arch_zoo.files import cache_directory, read_json, sha256_of_file, write_json_atomic
from arch_zoo.registry import did_you_mean

if TYPE_CHECKING:  # importing it loads every model and objective
    from arch_zoo.config import DataConfig

_SUFFIXES = (".txt", ".text", ".jsonl")
_SURROGATE = re.compile("[\ud800-\udfff]")  # JSON can spell half of a pair, UTF-8 cannot


class LocalText(Carved):
    """A text or JSON-lines file, or a folder of them (*.txt, *.text, *.jsonl, at any depth, in order of path).

    Files or subfolders of the folder that are called train…, valid…, dev… or test… are these splits.
    """

    def __init__(self, config: "DataConfig"):
        self.name, self._root = config.corpus, pathlib.Path(config.corpus).expanduser()
        self._field, self._cut = config.text_field, config.documents
        self._files = self._find_files()
        self._split_of = self._named_splits()
        self._present = frozenset(self._split_of.values())
        self._advice = ("add text, cut it into more documents (data.documents=line), "
                        "or give a folder with files named train, validation and test")
        self.fingerprint = self._fingerprint(config.cache_dir)

    def _find_files(self) -> list[pathlib.Path]:
        root = self._root
        if not root.exists() or not self.name:  # an empty name would be the current directory
            siblings = [str(root.parent / n) for n in os.listdir(root.parent)] if root.parent.is_dir() else []
            raise UserError(f"data.corpus={self.name}: no such file or folder."
                            f"{did_you_mean(self.name, [*siblings, PythonDocs.name, 'synthetic:grammar'])} "
                            f"A corpus is python_docs, a path, parallel:FILES, tfds:NAME, tokens:DIR or "
                            f"synthetic:grammar")
        files = [root] if root.is_file() else sorted(
            p for p in root.rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
        if not files:
            raise UserError(f"{root}: no text in this folder; files end in {', '.join(_SUFFIXES)}")
        if not any(path.stat().st_size for path in files):
            raise UserError(f"{root}: empty")
        return files

    def _named_splits(self) -> dict[pathlib.Path, str]:
        matches = {path: self._root.is_dir() and SPLIT_NAME.match(path.relative_to(self._root).parts[0])
                   for path in self._files}
        if not any(matches.values()):
            return dict.fromkeys(self._files, "train")
        splits = {path: NAMED[(match[1] or match[3]).lower()] for path, match in matches.items() if match}
        if "train" not in splits.values():
            there = " and ".join(sorted(set(splits.values())))
            raise UserError(f"{self._root}: has files for {there}, none for train; "
                            f"name the training text train…")
        if strays := [path for path in self._files if path not in splits]:
            raise UserError(f"{strays[0]}: belongs to no split, while other files are named after splits; "
                            f"rename it to train…, validation… or test…, or move it away")
        return splits

    def _fingerprint(self, cache_dir: str | None) -> str:
        """Hash of the files' content and of how it is read."""
        key = hashlib.sha256(str(self._root.resolve()).encode()).hexdigest()[:16]
        # A single file is what it contains; in a folder the name decides about order and split.
        names = {path.relative_to(self._root).as_posix() if path != self._root else path.suffix: path
                 for path in self._files}
        identity = [self._cut, self._field, hashes_of(names, key, cache_dir)]
        return hashlib.sha256(json.dumps(identity).encode()).hexdigest()

    def _read(self, split: str) -> Iterator[str]:
        for path in self._files:
            if self._split_of[path] == split:
                yield from self._read_json_lines(path) if path.suffix.lower() == ".jsonl" else self._read_text(path)

    def _read_text(self, path: pathlib.Path) -> Iterator[str]:
        lines = lines_of(path)
        if self._cut == "line":
            yield from (line.rstrip("\n") for line in lines)
        elif self._cut == "file":
            yield "".join(lines)
        else:
            for blank, group in itertools.groupby(lines, key=str.isspace):
                if not blank:
                    yield "".join(group).rstrip("\n")

    def _read_json_lines(self, path: pathlib.Path) -> Iterator[str]:
        for number, line in enumerate(lines_of(path), start=1):
            if line.isspace():
                continue
            try:
                value = json.loads(line.rstrip("\n"))
            except json.JSONDecodeError as error:
                raise UserError(f"{path}:{number}: not JSON ({error.msg}: column {error.colno})") from None
            except (ValueError, RecursionError) as error:  # a number too long, brackets too deep
                raise UserError(f"{path}:{number}: cannot be read as JSON ({error})") from None
            if isinstance(value, dict) and self._field not in value:
                raise UserError(f"{path}:{number}: has no field {self._field!r}.{did_you_mean(self._field, value)} "
                                f"data.text_field names the field with the text; here are: {', '.join(value)}")
            text = value[self._field] if isinstance(value, dict) else value
            if not isinstance(text, str):
                raise UserError(f"{path}:{number}: expected a string or an object with the string "
                                f"{self._field!r}, got {line.strip()[:60]}")
            if _SURROGATE.search(text):
                raise UserError(f"{path}:{number}: not text: has half of a surrogate pair")
            yield text


def hashes_of(files: dict[str, pathlib.Path], key: str, cache_dir: str | None) -> list[tuple[str, str]]:
    """(name, SHA-256) of each file, kept under `key` until the file's size or modification time change."""
    cache = cache_directory(cache_dir) / "fingerprints" / f"{key}.json"
    try:
        known = read_json(cache)
    except UserError:
        known = {}
    hashes = {}
    for name, path in files.items():
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns]
        same = name in known and known[name][:2] == stamp
        hashes[name] = [*stamp, known[name][2] if same else sha256_of_file(path)]
    if hashes != known:
        write_json_atomic(cache, hashes)
    return [(name, entry[2]) for name, entry in hashes.items()]


def lines_of(path: pathlib.Path) -> Iterator[str]:
    """The lines of a UTF-8 file, with "\\n" at their ends whatever the file has there. UserError names a bad byte."""
    offset = 0
    with open(path, "rb") as file:
        for raw in file:
            if (nul := raw.find(b"\0")) >= 0:
                raise UserError(f"{path}: not text: there is a zero byte at offset {offset + nul}")
            try:
                line = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise UserError(f"{path}: not UTF-8 at byte {offset + error.start} ({error.reason}); convert it, "
                                f"for example with iconv -t utf-8") from None
            if offset == 0:
                line = line.removeprefix("\ufeff")
            offset += len(raw)
            yield line[:-2] + "\n" if line.endswith("\r\n") else line
