"""The corpus that is on every machine: the English documentation inside the running Python interpreter.

The docstrings of the standard library are read from its source files without importing them; modules written in C are
few, listed below, and imported. With the topics of `pydoc` this makes about 360,000 words.

Splits are dealt out by whole module, so that no module is both trained and tested on. A module and its twin in C or
pure Python (`decimal`, `_decimal`, `_pydecimal`) describe the same things in nearly the same words and go together.
Packages that have several modules put about a tenth of their docstrings into the test split, so that "which package
is this docstring from?" can be tested on modules that pre-training never saw; everything else gives a twentieth.
"""

import ast
import collections
import contextlib
import dataclasses
import hashlib
import importlib
import inspect
import json
import os
import pathlib
import re
import sys
import sysconfig
import types
import warnings
from collections.abc import Iterable, Iterator, Mapping

from arch_zoo.errors import UserError
from arch_zoo.files import cache_directory, read_json, write_json_atomic

SPLITS = ("train", "validation", "test")
_FORMAT = 1  # of the cached extraction; raise it when what is extracted, or how, changes
_TOPICS = "pydoc_data.topics"
# Not documentation of the library (tests, bundled programs, installed packages) or hardly language (encodings).
_SKIPPED = frozenset("test tests idle_test idlelib lib2to3 turtledemo encodings pydoc_data site-packages dist-packages "
                     "_bundled __pycache__ __phello__".split())
# Importing these has no effect beyond the import; each is left out where the interpreter was built without it.
_COMPILED = """_abc _ast _asyncio _bisect _bz2 _codecs _collections _contextvars _csv _ctypes _datetime _decimal
    _elementtree _functools _hashlib _heapq _imp _io _json _locale _lsprof _lzma _multiprocessing _operator _pickle
    _posixsubprocess _queue _random _signal _socket _sqlite3 _sre _ssl _stat _statistics _string _struct _symtable
    _thread _tracemalloc _uuid _warnings _weakref _zoneinfo array atexit binascii builtins cmath errno
    faulthandler fcntl gc grp itertools marshal math mmap posix pwd pyexpat resource select sys syslog termios time
    unicodedata zlib""".split()
_HELD_OUT_OF_PACKAGES = {"test": 0.11, "validation": 0.05}
_HELD_OUT_OF_THE_REST = {"test": 0.05, "validation": 0.05}
_WORDS_TO_COUNT = 5  # a docstring with fewer words says too little to be classified


@dataclasses.dataclass(frozen=True)
class Docstring:
    """One docstring: where it was found, e.g. ("email.message", "email", "Message.as_string"), and its text."""

    module: str
    package: str  # top-level name, without the underscore of an implementation module
    qualname: str  # "" for the module's own
    text: str


class PythonDocs:
    """The corpus: one document per module (its docstrings in source order) and one per pydoc topic."""

    name = "python_docs"

    def __init__(self, cache_dir: str | None = None):
        self._docstrings = docstrings(cache_dir, topics=True)
        self._split = _splits(self._docstrings)
        digest = hashlib.sha256()
        for split in SPLITS:
            for document in self.documents(split):
                digest.update(f"{split}\0{document}\0".encode())
        self.fingerprint = digest.hexdigest()

    def documents(self, split: str) -> Iterator[str]:
        """The documents of "train", "validation" or "test", in the order of their module names."""
        parts = collections.defaultdict(list)
        for docstring in self._docstrings:
            if self._split[_unit(docstring)] == split:
                parts[_document(docstring)].append(docstring.text)
        for name in sorted(parts):
            yield "\n\n".join(parts[name])


def docstrings(cache_dir: str | None = None, *, topics: bool = False) -> list[Docstring]:
    """The docstrings of the standard library by module and then in source order, no text twice.

    `topics` adds the topics of `pydoc`, as docstrings of the module `pydoc_data.topics`.
    The extraction takes seconds, so it is kept in `cache_dir`, keyed by interpreter.
    """
    key = hashlib.sha256(json.dumps([_FORMAT, sys.version, sysconfig.get_path("stdlib")]).encode()).hexdigest()[:16]
    cache = cache_directory(cache_dir) / "python_docs" / f"{key}.json"
    try:
        found = [Docstring(*row) for row in read_json(cache)]
    except (UserError, TypeError):  # not there yet, or damaged
        found = list(_without_repetition(_extract()))
        write_json_atomic(cache, [dataclasses.astuple(docstring) for docstring in found])
    return [docstring for docstring in found if topics or docstring.module != _TOPICS]


def classification_examples(classes: int = 10, cache_dir: str | None = None,
                            most: Mapping[str, int] = types.MappingProxyType(
                                {"train": 120, "validation": 20, "test": 45}),
                            ) -> tuple[dict[str, list[tuple[str, int]]], tuple[str, ...]]:
    """({split: [(text, label)]}, label names): from which package of the standard library does a docstring come?

    The labels are the packages with the most docstrings among those that have test examples, at most `most[split]`
    of each (chosen by hash). The splits are the corpus's own: a test example's module was never pre-trained on. The
    names of all labels are replaced by "_" in all texts, so that no text names its answer.
    """
    found = docstrings(cache_dir, topics=True)
    split_of = _splits(found)
    usable = [d for d in found if d.module != _TOPICS and len(d.text.split()) >= _WORDS_TO_COUNT]
    packages = _packages(usable)
    held_out = {d.package for d in usable if d.package in packages and split_of[_unit(d)] == "test"}
    sizes = collections.Counter(d.package for d in usable if d.package in held_out)
    labels = tuple(sorted(sorted(sizes, key=lambda package: (-sizes[package], package))[:classes]))
    if len(labels) < classes:
        raise UserError(f"this interpreter's library has {len(labels)} packages to tell apart, not {classes}")
    names = re.compile(rf"(?<![a-z0-9])({'|'.join(labels)})(?![a-z0-9])", re.IGNORECASE)
    examples: dict[str, list[tuple[str, int]]] = {split: [] for split in SPLITS}
    taken: collections.Counter = collections.Counter()
    masked = {names.sub("_", d.text): d for d in usable if d.package in labels}  # texts may have become equal
    for text, docstring in sorted(masked.items(), key=lambda item: _hash(item[0])):
        place = split_of[_unit(docstring)], docstring.package
        if taken[place] < most[place[0]]:
            taken[place] += 1
            examples[place[0]].append((text, labels.index(docstring.package)))
    return examples, labels


# --- splits ------------------------------------------------------------------------------------------------------

def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _document(docstring: Docstring) -> str:
    """The name of the document a docstring belongs to."""
    return f"{_TOPICS}/{docstring.qualname}" if docstring.module == _TOPICS else docstring.module


def _unit(docstring: Docstring) -> str:
    """What a split gets whole: a module with its twins, or a topic."""
    head, dot, rest = _document(docstring).partition(".")
    return _public(head) + dot + rest


def _public(name: str) -> str:
    """`decimal` for `_decimal` and `_pydecimal`."""
    return name.removeprefix("_py") if name.startswith("_py") else name.removeprefix("_")


def _packages(found: Iterable[Docstring]) -> set[str]:
    """The top-level packages that have at least three modules with docstrings."""
    units = {(d.package, _unit(d)) for d in found if d.module != _TOPICS}
    return {package for package, count in collections.Counter(package for package, _ in units).items() if count >= 3}


def _splits(found: list[Docstring]) -> dict[str, str]:
    """{unit: split}. Sizes are counted in docstrings of some length."""
    packages = _packages(d for d in found if len(d.text.split()) >= _WORDS_TO_COUNT)
    groups: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    for docstring in found:
        group = docstring.package if docstring.package in packages else ""
        groups[group][_unit(docstring)] += len(docstring.text.split()) >= _WORDS_TO_COUNT
    return {unit: split for name, sizes in groups.items()
            for unit, split in _deal(sizes, _HELD_OUT_OF_PACKAGES if name else _HELD_OUT_OF_THE_REST).items()}


def _deal(sizes: Mapping[str, int], shares: Mapping[str, float]) -> dict[str, str]:
    """Units in the order of their hashes fill the held-out splits up to their shares; the rest is "train".

    A unit of more than twice a share is passed over: `tkinter/__init__.py` alone is most of tkinter.
    """
    total, filled = sum(sizes.values()), collections.Counter()
    result = {}
    for unit in sorted(sizes, key=_hash):
        fitting = (s for s, share in shares.items() if filled[s] < share * total and sizes[unit] <= 2 * share * total)
        result[unit] = next(fitting, "train")
        filled[result[unit]] += sizes[unit]
    return result


# --- extraction --------------------------------------------------------------------------------------------------

def _without_repetition(found: Iterable[Docstring]) -> Iterator[Docstring]:
    seen = set()
    for docstring in found:
        words = " ".join(docstring.text.split()).lower()
        if words and words not in seen:
            seen.add(words)
            yield docstring


def _extract() -> Iterator[Docstring]:
    root = pathlib.Path(sysconfig.get_path("stdlib"))
    sources = {_module_name(path.relative_to(root)): path for path in _source_files(root)}
    for module, path in sorted(sources.items()):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in the library's strings
                tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):  # a template or a file for another version
            continue
        for qualname, text in _docstrings_of_tree(tree):
            yield Docstring(module, _public(module.partition(".")[0]), qualname, text)
    for module in _COMPILED:
        with contextlib.suppress(ImportError):
            for qualname, text in _docstrings_of_compiled(importlib.import_module(module)):
                yield Docstring(module, _public(module), qualname, text)
    for topic, text in sorted(importlib.import_module(_TOPICS).topics.items()):
        yield Docstring(_TOPICS, "pydoc_data", topic, text.strip("\n"))


def _source_files(root: pathlib.Path) -> Iterator[pathlib.Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name not in _SKIPPED and name.isidentifier()]
        yield from (pathlib.Path(folder, name) for name in files if name.endswith(".py") and name[:-3].isidentifier())


def _module_name(path: pathlib.Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def _docstrings_of_tree(node: ast.AST, prefix: str = "") -> Iterator[tuple[str, str]]:
    """(qualname, text) of a module, and of the classes, functions and methods in it, in source order."""
    documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, documented) and (text := ast.get_docstring(node)):
        yield prefix, text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _docstrings_of_tree(child, f"{prefix}.{child.name}".lstrip("."))
        elif isinstance(child, ast.stmt | ast.excepthandler):  # definitions under `if` and `try`
            yield from _docstrings_of_tree(child, prefix)


def _docstrings_of_compiled(module: types.ModuleType) -> Iterator[tuple[str, str]]:
    """The same for a module in C, whose members have no order but that of their names.

    Only what C defines is taken: other code of the process may have put more into the module.
    """
    yield "", inspect.cleandoc(module.__doc__ or "")
    for name, member in sorted(vars(module).items()):
        if not inspect.isbuiltin(member) and not isinstance(member, type):
            continue
        members = sorted(vars(member).items()) if isinstance(member, type) else []
        for inner, value in [("", member), *members]:
            in_c = isinstance(value, type) or inspect.isroutine(value) or inspect.isdatadescriptor(value)
            text = getattr(value, "__doc__", None) if in_c and not inspect.isfunction(value) else None
            if isinstance(text, str):
                yield f"{name}.{inner}".rstrip("."), inspect.cleandoc(text)
