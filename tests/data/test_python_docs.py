"""The corpus of every machine: deterministic, without repetition, split by module."""

import collections
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from arch_zoo.data.python_docs import SPLITS, PythonDocs, classification_examples, docstrings
from arch_zoo.errors import UserError


@pytest.fixture(scope="module")
def corpus():
    return PythonDocs()


@pytest.fixture(scope="module")
def found():
    return docstrings()


@pytest.fixture(scope="module")
def split_of_module(corpus, found):
    """{module: split}, seen from outside: in which split is the document of its docstrings?"""
    split_of = {document: split for split in SPLITS for document in corpus.documents(split)}
    texts = collections.defaultdict(list)
    for docstring in found:
        texts[docstring.module].append(docstring.text)
    return {module: split_of["\n\n".join(parts)] for module, parts in texts.items()}


@pytest.fixture(scope="module")
def extracted(tmp_path_factory):
    """(cache, fingerprint) of a process that has imported next to nothing, hashes otherwise and drops docstrings."""
    cache = tmp_path_factory.mktemp("cache")
    program = f"from arch_zoo.data.python_docs import PythonDocs; print(PythonDocs({str(cache)!r}).fingerprint)"
    done = subprocess.run([sys.executable, "-S", "-OO", "-c", program], env=os.environ | {"PYTHONHASHSEED": "12345"},
                          cwd=pathlib.Path(__file__).parents[2], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return cache, done.stdout.strip()


def everyones_business():
    """What other code of the process puts into a module is no documentation of the library."""


def normal(text: str) -> str:
    return " ".join(text.split()).lower()


def test_there_is_english_in_each_split_in_the_intended_shares(corpus):
    words = {split: sum(len(document.split()) for document in corpus.documents(split)) for split in SPLITS}
    assert 250_000 < sum(words.values()) < 600_000
    assert 0.02 < words["validation"] / sum(words.values()) < 0.1
    assert 0.03 < words["test"] / sum(words.values()) < 0.15


def test_no_document_and_no_docstring_occurs_twice(corpus):
    documents = [normal(document) for split in SPLITS for document in corpus.documents(split)]
    assert len(set(documents)) == len(documents) > 300
    texts = [normal(docstring.text) for docstring in docstrings(topics=True)]
    assert len(set(texts)) == len(texts) > 5000 and all(texts)


def test_a_module_goes_where_its_twin_in_another_language_goes(split_of_module):
    twins = collections.defaultdict(set)
    for module, split in split_of_module.items():
        twins[module.removeprefix("_py").removeprefix("_")].add((module, split))
    pairs = [group for group in twins.values() if len(group) > 1]
    assert len(pairs) > 5
    assert all(len({split for _, split in group}) == 1 for group in pairs)


def test_topics_are_in_the_corpus_and_only_on_request_among_the_docstrings(corpus, found):
    topics = [docstring for docstring in docstrings(topics=True) if docstring.module == "pydoc_data.topics"]
    assert {"assert", "class", "lambda"} <= {topic.qualname for topic in topics}
    assert topics[0].text in {document for split in SPLITS for document in corpus.documents(split)}
    assert not any(docstring.module == "pydoc_data.topics" for docstring in found)


def test_tests_and_installed_packages_are_left_out(found):
    modules = {docstring.module for docstring in found}
    assert {"json.decoder", "email.message", "math"} <= modules
    assert not [m for m in modules if re.search(r"(^|\.)(tests?|idlelib|encodings|numpy|jax|pytest)(\.|$)", m)]


def test_another_process_extracts_the_same_corpus(corpus, extracted):
    assert extracted[1] == corpus.fingerprint


def test_a_damaged_cache_is_extracted_again_and_a_changed_one_has_another_fingerprint(corpus, extracted, tmp_path,
                                                                                      monkeypatch):
    shutil.copytree(extracted[0], tmp_path, dirs_exist_ok=True)
    (cached,) = tmp_path.glob("python_docs/*.json")
    rows = json.loads(cached.read_text())
    rows[100][3] += "!"
    cached.write_text(json.dumps(rows))
    assert PythonDocs(str(tmp_path)).fingerprint != corpus.fingerprint
    cached.write_text(json.dumps(rows)[:-1000])
    monkeypatch.setattr(math, "put_here_by_others", everyones_business, raising=False)
    assert PythonDocs(str(tmp_path)).fingerprint == corpus.fingerprint


# --- classification ----------------------------------------------------------------------------------------------

def test_classes_are_packages_with_examples_in_each_split():
    examples, labels = classification_examples()
    assert len(set(labels)) == 10 and list(labels) == sorted(labels)
    for split, most in (("train", 120), ("validation", 20), ("test", 45)):
        sizes = collections.Counter(label for _, label in examples[split])
        assert set(sizes) <= set(range(10)) and max(sizes.values()) <= most
        assert split == "validation" or len(sizes) == 10
    assert len(examples["train"]) > 800 and len(examples["test"]) > 150
    assert classification_examples() == (examples, labels)


def test_no_text_names_a_class_or_occurs_twice(found):
    examples, labels = classification_examples()
    texts = [text for split in SPLITS for text, _ in examples[split]]
    assert len(set(texts)) == len(texts)
    name = re.compile(rf"(?<![a-z0-9])({'|'.join(labels)})(?![a-z0-9])", re.IGNORECASE)
    assert not any(name.search(text) for text in texts)
    assert sum(bool(name.search(d.text)) for d in found if d.package in labels) > 100  # they do name them
    assert all(len(text.split()) >= 5 for text in texts)


def test_examples_are_of_the_modules_of_their_split(found, split_of_module):
    examples, labels = classification_examples()
    name = re.compile(rf"(?<![a-z0-9])({'|'.join(labels)})(?![a-z0-9])", re.IGNORECASE)
    origins = collections.defaultdict(set)
    for docstring in found:
        if docstring.package in labels:
            origins[name.sub("_", docstring.text)].add((docstring.package, split_of_module[docstring.module]))
    for split in SPLITS:
        assert all((labels[label], split) in origins[text] for text, label in examples[split])
    wrong = {"train": "test", "test": "train"}  # the check would notice
    assert not any((labels[label], wrong[s]) in origins[text] for s in wrong for text, label in examples[s])


def test_sizes_are_as_asked_and_more_classes_than_there_are_packages_are_refused():
    most = {"train": 7, "validation": 2, "test": 3}
    examples, labels = classification_examples(4, most=most)
    for split, count in most.items():
        assert max(collections.Counter(label for _, label in examples[split]).values()) <= count
    assert len(labels) == 4 and len(examples["train"]) == 28
    with pytest.raises(UserError, match=r"library has \d+ packages to tell apart, not 1000"):
        classification_examples(1000)
