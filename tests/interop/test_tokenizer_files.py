"""Tokenizers travel with checkpoints, whole and as they are, and transformers loads what is exported."""

import os

import pytest

from arch_zoo.config import DataConfig, TokenizerConfig
from arch_zoo.data.corpora import open_corpus
from arch_zoo.data.tokenizers import open_tokenizer, train_or_load_tokenizer
from arch_zoo.data.tokenizers.files import copy_tokenizer, tokenizer_files
from arch_zoo.errors import UserError
from arch_zoo.interop.tokenizer_files import export_tokenizer
from tests.foreign_tokenizers import TEXTS, checkpoint, lines

pytest.importorskip("tokenizers", reason="the library tokenizers is not installed")


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """own(kind): a tokenizer of ours trained on the made-up lines."""
    directory = tmp_path_factory.mktemp("own")
    (directory / "corpus.txt").write_text("\n\n".join(f"{n} {line} <a> = ab" for n, line in enumerate(lines())))

    def of(kind):
        config = DataConfig(corpus=str(directory / "corpus.txt"), cache_dir=str(directory / "cache"),
                            tokenizer=TokenizerConfig(kind=kind, vocab_size=600, sentinels=8))
        return train_or_load_tokenizer(config, open_corpus(config))
    return of


@pytest.fixture(scope="module")
def transformers():
    os.environ["HF_HUB_OFFLINE"] = "1"
    return pytest.importorskip("transformers", reason="transformers, the reference, is not installed")


@pytest.mark.parametrize("kind", ["gpt2", "bert_cased", "t5", "llama"])
def test_a_tokenizer_is_copied_to_a_run_and_back_as_it_is(kind, tmp_path):
    source, run, exported = checkpoint(kind, tmp_path / "source"), tmp_path / "run", tmp_path / "exported"
    (source / "config.json").write_text("{}")
    names = copy_tokenizer(tokenizer_files(source), run)
    assert set(names) == {path.name for path in run.iterdir()}
    assert {*names, "config.json"} == {path.name for path in source.iterdir()}
    assert export_tokenizer(open_tokenizer(run), exported) == f"the tokenizer as it was imported: {', '.join(names)}"
    for name in names:
        assert (source / name).read_bytes() == (exported / name).read_bytes()
    assert open_tokenizer(exported).sha256 == open_tokenizer(source).sha256
    assert copy_tokenizer(tokenizer_files(source), run) == names  # once more changes nothing


def test_a_checkpoint_without_a_tokenizer_gives_none(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    assert copy_tokenizer(tokenizer_files(tmp_path), tmp_path / "run") == ()


def test_files_of_two_tokenizers_are_not_mixed(own, tmp_path):
    bert, gpt2 = checkpoint("bert_cased", tmp_path / "bert"), checkpoint("gpt2", tmp_path / "gpt2")
    for write in (lambda: copy_tokenizer(tokenizer_files(gpt2), bert),
                  lambda: export_tokenizer(open_tokenizer(gpt2), bert), lambda: export_tokenizer(own("bpe"), bert)):
        with pytest.raises(UserError, match="bert: holds .* of another tokenizer"):
            write()
    assert {path.name for path in bert.iterdir()} == {"vocab.txt", "tokenizer_config.json"}


def test_a_copy_that_is_cut_short_is_not_taken_for_a_tokenizer(tmp_path, monkeypatch):
    source, write = checkpoint("bert_cased", tmp_path / "source"), os.replace

    def full(*paths):
        if str(paths[1]).endswith("vocab.txt"):
            raise OSError(28, "No space left on device")
        write(*paths)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space"):
        copy_tokenizer(tokenizer_files(source), tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["tokenizer_config.json"]
    with pytest.raises(UserError, match="holds no tokenizer"):
        open_tokenizer(tmp_path / "run")


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_ours_are_exported_with_the_same_ids(own, kind, transformers, tmp_path):
    ours = own(kind)
    said = export_tokenizer(ours, tmp_path)
    assert said.startswith("tokenizer.model, and tokenizer.json, which transformers reads, with the same ids")
    reference = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    v = ours.vocabulary
    assert len(reference) == v.size and reference.convert_tokens_to_ids("<extra_id_7>") == v.sentinel_ids[7]
    assert (reference.pad_token_id, reference.unk_token_id, reference.bos_token_id, reference.eos_token_id,
            reference.mask_token_id) == (v.pad_id, v.unk_id, v.bos_id, v.eos_id, v.mask_id)
    spelled = ["a <mask> b", "<s>x</s>", "<extra_id_3>", "x<0x0A>y"]
    for text in (*TEXTS, *lines(40), "▁a▁ b", "\n\n\n\n\n", *(c * 33 for c in "a= -"), *spelled):
        ids = reference.encode(text, add_special_tokens=False, split_special_tokens=True)
        assert ids == ours.encode(text)
        assert reference.decode(ids) == text
    assert open_tokenizer(tmp_path).sha256 == ours.sha256  # ours, with its own file, comes before the copy's


def test_what_would_have_other_ids_is_not_written(own, monkeypatch, tmp_path):
    """A merge too few: seen on the texts that are tried."""
    monkeypatch.setattr("arch_zoo.interop.tokenizer_files._merges", lambda scores: [])
    said = export_tokenizer(own("bpe"), tmp_path)
    assert said.startswith("tokenizer.model alone, which arch_zoo reads; transformers does not, since its ids would "
                           "differ, for instance of ")
    assert [path.name for path in tmp_path.iterdir()] == ["tokenizer.model"]
