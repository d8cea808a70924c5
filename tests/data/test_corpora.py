"""Corpora: what is a document, where it goes, and one line about whatever cannot be read."""

import json

import pytest

from arch_zoo.config import DataConfig
from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.python_docs import SPLITS, PythonDocs
from arch_zoo.errors import UserError
from tests.data.conftest import make_documents


@pytest.fixture
def opened(tmp_path):
    """opened(path, **fields): the corpus, with a cache of the test's own."""
    return lambda path, **fields: open_corpus(DataConfig(corpus=str(path), cache_dir=str(tmp_path / "cache"), **fields))


@pytest.fixture
def refusal(opened):
    """refusal(path, **fields): the one line with which opening or reading the corpus ends."""
    def refuse(path, **fields) -> str:
        with pytest.raises(UserError) as raised:
            everything(opened(path, **fields))
        assert "\n" not in str(raised.value)
        return str(raised.value)
    return refuse


def everything(corpus) -> dict[str, list[str]]:
    return {split: list(corpus.documents(split)) for split in SPLITS}


def together(corpus) -> list[str]:
    return [document for part in everything(corpus).values() for document in part]


# --- what is a document ------------------------------------------------------------------------------------------

def write_splits(folder, train: str | bytes, suffix: str = ".txt"):
    """A folder with this train file and held-out files, so that nothing is carved out of train."""
    folder.mkdir(exist_ok=True)
    (folder / f"train{suffix}").write_bytes(train.encode() if isinstance(train, str) else train)
    for held_out in ("validation", "test"):
        (folder / f"{held_out}.txt").write_text(f"{held_out} text")
    return folder


def test_plain_text_is_cut_at_blank_lines_at_lines_or_not_at_all(tmp_path, opened):
    text = "\n\none\n  two\n \t\n\nthree\n\n"
    folder = write_splits(tmp_path / "corpus", text)
    expected = {"blank_line": ["one\n  two", "three"], "line": ["one", "  two", "three"], "file": [text]}
    for cut, documents in expected.items():
        assert everything(opened(folder, documents=cut)) == {
            "train": documents, "validation": ["validation text"], "test": ["test text"]}


def test_line_ends_and_a_byte_order_mark_do_not_become_text(tmp_path, opened):
    for name, content in (("unix", b"a\nb\n\nc"), ("dos", b"\xef\xbb\xbfa\r\nb\r\n\r\nc\r\n")):
        corpus = opened(write_splits(tmp_path / name, content))
        assert list(corpus.documents("train")) == ["a\nb", "c"]


def test_json_lines_are_objects_with_the_field_or_bare_strings(tmp_path, opened):
    lines = [json.dumps({"text": "one\n\ntwo", "title": "A"}), '"bare é"', "",
             r'{"text": "\ud83d\ude42", "title": "B"}']
    folder = write_splits(tmp_path / "corpus", "\n".join(lines), ".jsonl")
    assert list(opened(folder).documents("train")) == ["one\n\ntwo", "bare é", "🙂"]
    (folder / "train.jsonl").write_text(lines[0])
    assert list(opened(folder, text_field="title").documents("train")) == ["A"]


# --- splits ------------------------------------------------------------------------------------------------------

def test_each_document_is_carved_into_one_split_by_its_content_alone(tmp_path, opened):
    documents = make_documents(1000)
    path = tmp_path / "corpus.txt"
    path.write_text("\n\n".join(documents))
    parts = everything(opened(path))
    assert sorted(sum(parts.values(), [])) == sorted(documents)
    assert all(30 <= len(parts[split]) <= 75 for split in ("validation", "test"))  # 5 %

    more = make_documents(300, seed=1)
    path.write_text("\n\n".join([*more, *reversed(documents)]))
    larger = everything(opened(path))
    assert all(set(parts[split]) <= set(larger[split]) for split in SPLITS)


def test_files_and_folders_named_after_splits_are_these_splits(tmp_path, opened):
    names = {"Train-00001.txt": "train", "train_b.jsonl": "train", "dev/x.txt": "validation",
             "valid.text": "validation", "testing/deep/y.txt": "test"}
    for name in names:
        (tmp_path / "corpus" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "corpus" / name).write_text(json.dumps(name))
    found = everything(opened(tmp_path / "corpus"))
    assert {json.loads(text) if text[0] == '"' else text: split
            for split, texts in found.items() for text in texts} == names


def test_a_split_that_is_missing_is_carved_out_of_train_and_the_others_stay(tmp_path, opened):
    documents = make_documents(300)
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "train.txt").write_text("\n\n".join(documents))
    (tmp_path / "corpus" / "test.txt").write_text("held out")
    found = everything(opened(tmp_path / "corpus"))
    assert found["test"] == ["held out"]
    assert found["validation"] and sorted(found["train"] + found["validation"]) == sorted(documents)


def test_ordinary_names_are_read_in_order_of_path_and_other_files_are_left_alone(tmp_path, opened):
    folder, documents = tmp_path / "corpus", make_documents(200)
    (folder / "b.txt").mkdir(parents=True)  # a folder, whatever it is called
    parts = {"a.txt": documents[:50], "b.txt/c.TXT": documents[50:100], "testimony.text": documents[100:]}
    for name, part in parts.items():
        (folder / name).write_text("\n\n".join(part))
    (folder / "picture.png").write_bytes(b"\x89PNG\0")
    train = list(opened(folder).documents("train"))
    assert train == sorted(train, key=documents.index) and len(train) > 150
    assert sorted(together(opened(folder))) == sorted(documents)


# --- identity ----------------------------------------------------------------------------------------------------

def test_the_fingerprint_is_of_the_content_and_of_how_it_is_cut(tmp_path, opened, corpus_file):
    reference = opened(corpus_file).fingerprint
    copy = tmp_path / "elsewhere.txt"
    copy.write_bytes(corpus_file.read_bytes())
    assert opened(copy).fingerprint == reference
    assert opened(copy, documents="line").fingerprint != reference
    assert opened(copy, text_field="body").fingerprint != reference
    copy.write_bytes(corpus_file.read_bytes() + b" ")
    assert opened(copy).fingerprint != reference

    folder = write_splits(tmp_path / "corpus", "text")
    before = opened(folder).fingerprint
    (folder / "test.txt").rename(folder / "train_more.txt")
    assert opened(folder).fingerprint != before


def test_a_damaged_cache_of_fingerprints_is_made_again(tmp_path, opened, corpus_file):
    reference = opened(corpus_file).fingerprint
    (cached,) = (tmp_path / "cache" / "fingerprints").iterdir()
    whole = cached.read_text()
    cached.write_text(whole[:-20])
    assert opened(corpus_file).fingerprint == reference
    assert cached.read_text() == whole


# --- what is refused ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("content", "message"), [
    (b"", "empty"),
    (b" \n\n \n", "no document falls into the train split"),
    (b"one document", "no document falls into the validation split; add text, cut it into more documents"),
    (b"text\n and a\0zero", "not text: there is a zero byte at offset 11"),
    ("text".encode("utf-16-le"), "not text: there is a zero byte at offset 1"),
    (b"\x89PNG\r\n\x1a\n", "not UTF-8 at byte 0"),
    ("ok\ncafé".encode("latin-1"), "not UTF-8 at byte 6"),
])
def test_files_that_are_no_text_are_named(tmp_path, refusal, content, message):
    path = tmp_path / "bad.txt"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path}: {message}")


@pytest.mark.parametrize(("line", "message"), [
    ('{"text": "broken', "not JSON (Unterminated string"),
    ('{"test": "misspelt", "n": 1}', "has no field 'text'. Did you mean 'test'? data.text_field names the field with "
                                     "the text; here are: test, n"),
    ('{"text": 3}', "expected a string or an object with the string 'text', got {\"text\": 3}"),
    ('["text"]', "expected a string"),
    (r'{"text": "\ud800"}', "not text: has half of a surrogate pair"),
    ("1" * 5000, "cannot be read as JSON"),
    ("[" * 100_000, "cannot be read as JSON"),
])
def test_json_lines_that_cannot_be_used_are_named_with_their_number(tmp_path, refusal, line, message):
    path = tmp_path / "bad.jsonl"
    path.write_text(f'{{"text": "fine"}}\n\n{line}\n')
    assert refusal(path).startswith(f"{path}:3: {message}")


def test_what_is_not_there_is_named_with_what_is(tmp_path, refusal):
    there = tmp_path / "corpus.txt"
    there.write_text("text")
    assert f"no such file or folder. Did you mean {str(there)!r}" in refusal(tmp_path / "corpse.txt")
    assert "Did you mean 'python_docs'" in refusal("python_doc")
    assert "no such file or folder" in refusal(tmp_path / "no" / "such")
    assert refusal("").startswith("data.corpus=: no such file or folder")


def test_folders_that_are_not_clear_are_refused(tmp_path, refusal):
    folder = tmp_path / "corpus"
    folder.mkdir()
    assert refusal(folder) == f"{folder}: no text in this folder; files end in .txt, .text, .jsonl"
    (folder / "a.txt").touch()
    assert refusal(folder) == f"{folder}: empty"
    (folder / "test.txt").write_text("text")
    assert "has files for test, none for train" in refusal(folder)
    (folder / "train.txt").write_text("text")
    assert refusal(folder).startswith(f"{folder / 'a.txt'}: belongs to no split")


def test_the_corpus_of_every_machine_is_opened_by_name():
    assert isinstance(open_corpus(DataConfig()), PythonDocs)


def test_real_files_give_as_many_documents_as_they_have(real_text, opened):
    brown, lambada = (together(opened(real_text / name)) for name in ("brown.txt", "lambada_test.jsonl"))
    assert len(brown) == 500
    assert 0.9e6 < sum(len(document.split()) for document in brown) < 1.2e6
    assert len(lambada) == 5153
