"""Text in, text out: what is shown while it is written, where it stops, and gaps in a text."""

import dataclasses
import functools
import types

import pytest

from arch_zoo.data.prepare import prepare_data
from arch_zoo.generation.texts import TextFiller, TextWriter, fills_in
from arch_zoo.objectives.base import Undefined
from tests import runs
from tests.toy import tiny_config


class Scripted:
    """Stands for a writer: it writes these ids whatever it is asked."""

    def __init__(self, ids: list[int]):
        self.ids = ids

    def write(self, contexts, max_tokens, sampling=None, stop_ids=(), finished=None):
        self.finished = [finished(i, self.ids) for i in range(len(contexts))] if finished else None
        return [self.ids for _ in contexts]

    def stream(self, context, max_tokens, sampling=None, stop_ids=()):
        for n in range(1, max(len(self.ids), 1) + 1):
            yield self.ids[:n]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    corpus = runs.write_corpus(tmp_path_factory.mktemp("corpus") / "corpus.txt")
    config = tiny_config(data__corpus=str(corpus), data__tokenizer__vocab_size=340, data__tokenizer__sentinels=8,
                         data__length=16)
    return prepare_data(config.data).tokenizer


@pytest.fixture(scope="module")
def scripted(tokenizer):
    """`scripted(text)`: a TextWriter that writes the text, or these ids."""
    def make(written, objective="causal_lm"):
        architecture = {"masked_lm": "encoder_only"}.get(objective, "decoder_only")
        config = tiny_config(objective=objective, model__architecture=architecture)
        run = types.SimpleNamespace(config=config, tokenizer=tokenizer, model=None, parameters={})
        writer = TextWriter(run)
        writer.writer = Scripted(tokenizer.encode(written) if isinstance(written, str) else written)
        return writer

    return make


PROMPT = "kali"
TEXTS = [" mona tor.", "", "a€b😀é", " \n\n ", "naïve – 漢字 stop and more"]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("stops", [(), ("stop",), ("\n\n", "and"), ("never there",)], ids=str)
def test_the_pieces_are_the_whole(scripted, text, stops):
    writer = scripted(text)
    whole, = writer.write([PROMPT], 50, None, stops)
    pieces = list(writer.stream(PROMPT, 50, None, stops))
    assert "".join(pieces) == whole
    ends = [text.index(stop) for stop in stops if stop in text]
    assert whole == text[:min(ends, default=len(text))]
    assert not any("\ufffd" in piece for piece in pieces)


def test_characters_appear_whole_and_as_soon_as_they_are(scripted, tokenizer):
    """Of three bytes each is a token, and a character is shown with its last one."""
    assert len(tokenizer.encode("€")) == 3
    pieces = list(scripted("a€b").stream(PROMPT, 50))
    assert [piece for piece in pieces if piece] == ["a", "€", "b"]
    assert pieces[1:4] == ["", "", "€"]


def test_half_a_character_at_the_end_is_shown_in_the_end(scripted, tokenizer):
    writer = scripted(tokenizer.encode("a€")[:-1])
    assert "".join(writer.stream(PROMPT, 50)) == writer.write([PROMPT], 50)[0] == "a" + "\ufffd" * 2


def test_the_start_of_a_stop_is_not_shown(scripted):
    shown = ""
    for piece in scripted("mona stop tor").stream(PROMPT, 50, None, ("stop",)):
        shown += piece
        assert "s" not in shown
    assert shown == "mona "
    # What only looked like one is shown once that is known.
    assert "".join(scripted("mona sto").stream(PROMPT, 50, None, ("stop",))) == "mona sto"


def test_the_writer_is_told_when_a_text_is_finished(scripted):
    writer = scripted("mona stop tor")
    writer.write(["a", "b"], 50, None, ("stop",))
    assert writer.writer.finished == [True, True]
    writer.write(["a", "b"], 50, None, ("nowhere",))
    assert writer.writer.finished == [False, False]
    writer.write(["a", "b"], 50)
    assert writer.writer.finished is None


def test_a_text_goes_on_as_it_stands_behind_its_prompt(scripted):
    assert scripted(" mona").write(["kali", ""], 50) == [" mona", " mona"]


class Spaced:
    """A tokenizer of words that shows no space before the first, as sentencepiece's with a dummy prefix."""

    vocabulary = types.SimpleNamespace(mask_id=None)

    def encode(self, text):
        return text.split()

    def decode(self, ids):
        return " ".join(ids)


def test_a_space_between_prompt_and_text_is_not_lost(scripted):
    writer = scripted("")
    writer = dataclasses.replace(writer)
    writer.run = types.SimpleNamespace(config=writer.run.config, tokenizer=Spaced())
    assert writer.text(["the"], ["cat", "sat"]) == " cat sat"
    assert writer.text([], ["cat", "sat"]) == "cat sat"


# --- gaps --------------------------------------------------------------------------------------------------------

@functools.cache
def _config():
    return tiny_config(objective="masked_lm", model__architecture="encoder_only")


@pytest.fixture(scope="module")
def filler(tokenizer):
    run = types.SimpleNamespace(config=_config(), tokenizer=tokenizer, model=None, parameters={})
    assert fills_in(run)
    return TextFiller(run)


@pytest.mark.parametrize(("text", "parts"), [
    ("[MASK]", [1]), ("kali[MASK]", ["kali", 1]), ("kali [MASK] tor.", ["kali", 1, " tor."]),
    ("[MASK:3] kali", [3, " kali"]), ("[MASK][MASK:2]", [3]), ("[MASK] [MASK]", [2]),
    ("a [MASK:0] b [MASK]", ["a [MASK:0] b", 1])])
def test_gaps_are_as_many_tokens_as_they_say(filler, tokenizer, text, parts):
    ids = [i for part in parts for i in ([tokenizer.vocabulary.mask_id] * part if isinstance(part, int)
                                         else tokenizer.encode(part))]
    assert filler.ids(text) == ids


@pytest.mark.parametrize("text", ["", "kali mona.", "[mask]", "[MASK:0]", "[MASK:x]"])
def test_a_text_without_a_gap_is_told_what_would_be_right(filler, text):
    with pytest.raises(Undefined, match=r"does not write from left to right, and this text has none; write \[MASK\]"):
        filler.fill([text])


def test_filled_texts_are_texts(filler, tokenizer, monkeypatch):
    mona = tokenizer.encode(" mona")
    monkeypatch.setattr(filler.filler, "fill", lambda texts, unmasking, sampling: [
        [mona[0] if i == tokenizer.vocabulary.mask_id else i for i in ids] for ids in texts])
    assert filler.fill(["kali [MASK]mo.", "[MASK]tor"]) == [
        "kali" + tokenizer.decode(mona[:1]) + "mo.", (tokenizer.decode(mona[:1]) + "tor").strip()]
