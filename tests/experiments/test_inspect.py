"""Pictures of objectives: what is drawn is what the model gets, in terminals of any width, on pages, or refused."""

import html.parser
import io

import numpy as np
import pytest
from rich.console import Console

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.layers.visibility import Visibility, draw
from arch_zoo.objectives.base import Seeds
from arch_zoo.registry import ARCHITECTURES, OBJECTIVES
from experiments.inspection import matrix, page, request, terminal
from experiments.inspection.pictures import make_pictures, runs
from experiments.inspection.words import Words
from tests.runs import TINY, VARIANTS, assert_one_line, many, write_corpus
from tests.toy import compatible_pairs

INSPECT = "experiments.inspect"
PRELOAD = (*VARIANTS, "arch_zoo.training.batches")
SENTENCE = "Thank you for inviting me to your party last week."


def ask(**flags) -> request.Request:
    return request.load(None, {name.replace("__", "."): value for name, value in flags.items()}, RunConfig)


def pictures(asked, text=SENTENCE, examples=1):
    window, spelling = request.text_to_draw(asked, text, "words", examples)
    return make_pictures(asked.objective, asked.architectures, window, spelling, asked.seed)


def printed(asked, made, width=80) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    terminal.print_pictures(made, asked, console)
    return console.file.getvalue()


def sees(stream, n=0) -> str:
    return draw([position.sees[n] for position in stream.positions])


# --- what is drawn -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_every_objective_is_drawn_in_each_architecture_that_can_be_trained_with_it(objective):
    asked = ask(objective=objective, seed="1")
    picture = pictures(asked, f"{SENTENCE} {'| ' * asked.objective.reads_pairs}{SENTENCE}")[0]
    assert [layout.architecture for layout in picture.layouts] == [a for a, o in compatible_pairs() if o == objective]
    for layout in picture.layouts:
        predicted = [p.target for stream in layout.streams for p in stream.positions if p.target is not None]
        assert all(p.weight > 0 for stream in layout.streams for p in stream.positions if p.target is not None)
        corrupted = [token.text for token in picture.window if token.mark in ("corrupted", "predicted")]
        assert corrupted and not [text for text in corrupted if text not in predicted]
        # for more than a text may need
        has_room = objective in ("gap_sentences", "iid_spans", "ul2", "whole_sentences")
        assert has_room or not [s for s in layout.streams if s.padding]


def test_a_sentence_under_span_corruption_is_the_example_that_the_models_get():
    asked = ask(objective="span_corruption", objective__rate="0.4", objective__mean_span="2")
    picture = pictures(asked)[0]
    window, words = request.text_to_draw(asked, SENTENCE, None, 1)
    example = asked.objective.prepare(window, words.vocabulary, Seeds(0))
    by_name = {layout.architecture: layout.streams for layout in picture.layouts}
    encoder, decoder = by_name["encoder_decoder"]
    assert [p.text for p in encoder.positions] == words_of(example.source[0], words)
    assert [p.target for p in decoder.positions] == words_of(example.target[0], words)
    assert [p.text for p in decoder.positions] == ["[BOS]", *words_of(example.target[0], words)[:-1]]
    assert [p.text for p in encoder.positions if p.put] == ["<0>", "<1>"]
    assert (sees(encoder), sees(decoder, 1)) == (square(Visibility.BIDIRECTIONAL, 9), "\n".join(["#" * 9] * 8))
    assert sees(decoder) == square(Visibility.CAUSAL, 8)
    stream = by_name["prefix_decoder"][0]
    assert [p.target for p in stream.positions] == [None] * 9 + [p.target for p in decoder.positions]
    assert sees(stream) == square(Visibility.PREFIX, 17, prefix=9)
    assert sees(by_name["decoder_only"][0]) == square(Visibility.CAUSAL, 17)
    inside = {p.text for p in encoder.positions}
    assert {token.text for token in picture.window if token.mark} == {t for t in (t.text for t in picture.window)
                                                                      if t not in inside}


def test_pairs_show_their_types_and_what_is_to_be_told_of_them():
    answers = set()
    for seed in range(6):
        asked = ask(objective="sentence_order", seed=str(seed))
        made = pictures(asked, "We came. " + SENTENCE)
        stream = made[0].layouts[0].streams[0]
        first = next(p.text for p in stream.positions if p.text in ("We", "came", "Thank", "you"))
        kinds = {p.text: p.type for p in stream.positions if p.text in ("came", "for")}
        swapped = kinds == {"came": 1, "for": 0} or first in ("Thank", "you")
        assert made[0].answer == ("the texts are swapped" if swapped else "the texts are in their order")
        text, file = printed(asked, made), page.html_page(made, asked)
        assert f"answer: {made[0].answer}" in text and made[0].answer in file
        assert "type" in text and '<th class="number">type</th>' in file
        answers.add(made[0].answer)
    assert len(answers) == 2
    plain = pictures(ask(objective="masked_lm"))
    assert not plain[0].answer and "type" not in printed(ask(objective="masked_lm"), plain)


def test_electra_says_what_is_not_shown():
    asked = ask(objective="electra")
    made = pictures(asked)
    flat = " ".join(printed(asked, made).split())
    assert "shown is what the generator reads" in flat and "shown is what the generator reads" in page.html_page(
        made, asked)


def words_of(ids, words) -> list[str]:
    spelled = words.pieces(ids)
    assert all(ids)  # no padding
    return spelled


def square(visibility, n, prefix=0) -> str:
    """The drawing in `visible_self`'s docstring, of any size."""
    rows = np.arange(n)
    seen = rows[None] <= rows[:, None] if visibility is not Visibility.BIDIRECTIONAL else np.ones((n, n), bool)
    return draw(seen | (rows < prefix)[None])


def test_seed_and_options_change_the_draw_and_nothing_else_does():
    def drawn(**flags):
        return [token.mark for token in pictures(ask(objective="masked_lm", **flags))[0].window]

    assert drawn() == drawn() and drawn() != drawn(seed="1")
    assert drawn(objective__rate="0.6").count("corrupted") > drawn().count("corrupted")
    two = pictures(ask(objective="masked_lm"), examples=2)
    assert [t.mark for t in two[0].window] == drawn() and two[0].window != two[1].window


def test_words_are_what_a_person_would_call_words():
    words = Words("Don't stop: A_b, 3 «cafés» don't.")
    ids = words.encode("Don't stop: A_b, 3 «cafés» don't.")
    assert words.pieces(ids) == ["Don't", "stop", ":", "A_b", ",", "3", "«", "cafés", "»", "don't", "."]
    v = words.vocabulary
    assert not v.is_special[ids].any() and v.starts_word[ids].tolist() == [i not in (2, 4, 6, 8, 10) for i in range(11)]
    assert words.pieces([v.bos_id, v.mask_id, v.sentinel_ids[7]]) == ["[BOS]", "[MASK]", "<7>"]
    assert (~v.is_special).sum() > 25  # a random token can be one that the text does not have


def test_runs():
    assert runs(np.array([1, 1, 0, 0, 1, 0, 1], bool)) == [(0, 1), (4, 4), (6, 6)]
    assert terminal.ranges(np.array([1, 1, 0, 0, 1], bool)) == "0–1, 4" and terminal.ranges(np.zeros(3, bool)) == "–"


def test_rows_of_a_mixture_and_phases_of_a_schedule_say_whose_they_are():
    asked = ask(objective="mixture")
    made = pictures(asked, examples=8)
    assert {picture.made_by for picture in made} == {"causal_lm", "masked_next_token"}
    text = printed(asked, made)
    for picture in made:
        stream, = picture.layouts[0].streams
        causal = picture.made_by == "causal_lm"
        assert sees(stream) == square(Visibility.CAUSAL if causal else Visibility.BIDIRECTIONAL, len(stream.positions))
        assert f"a row of {picture.made_by}" in text
    html_text = page.html_page(made, asked)
    assert html_text.count("a row of <code>causal_lm</code>") == [p.made_by for p in made].count("causal_lm")
    ended = many([(INSPECT, ["--objective=schedule", f"--progress={share}"]) for share in ("0", "0.5", "2")], PRELOAD)
    assert ["a row of causal_lm" in ended[0]["out"], "a row of masked_next_token" in ended[1]["out"]] == [True, True]
    assert_one_line(ended[2], "progress")


def test_a_pair_is_drawn_from_two_texts_and_nothing_else():
    asked = ask(objective="translation", model__architecture="encoder_decoder")
    encoder, decoder = pictures(asked, "That is good. | Das ist gut.")[0].layouts[0].streams
    assert [p.text for p in encoder.positions] == "That is good . [EOS]".split()
    assert [p.target for p in decoder.positions] == "Das ist gut . [EOS]".split()
    for text in (SENTENCE, "one |", "a | b | c"):
        with pytest.raises(UserError, match="reads pairs; write --text='SOURCE | TARGET'"):
            pictures(asked, text)


# --- how it is drawn ---------------------------------------------------------------------------------------------

@pytest.mark.parametrize("objective", OBJECTIVES.names())
def test_the_terminal_is_never_too_narrow(objective):
    asked = ask(objective=objective)
    made = pictures(asked, SENTENCE * 2 + "| " * asked.objective.reads_pairs + SENTENCE)
    for width in (60, 140):
        text = printed(asked, made, width)
        assert max(map(len, text.splitlines())) <= width
        for layout in made[0].layouts:
            for stream in layout.streams:
                assert all(f" {position.text} " in text for position in stream.positions)
                full = "#" * len(stream.positions[0].sees[0])
                assert full in text or f"0–{len(full) - 1}" in text


def test_without_colours_marks_stand_below_the_tokens():
    asked = ask(objective="span_corruption")
    made = pictures(asked)
    lines = printed(asked, made).splitlines()
    below = lines[1 + next(i for i, line in enumerate(lines) if line.startswith("[BOS] Thank"))]
    starts = np.cumsum([0, *(len(token.text) + 1 for token in made[0].window)])
    for token, start in zip(made[0].window, starts, strict=False):
        assert below[start:start + len(token.text)].strip() == ("^" * len(token.text) if token.mark else "")


class Page(html.parser.HTMLParser):
    """Counts tags, collects what a browser would load, notices a tag left open."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loads, self.open, self.shown = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.loads += [value for name, value in attributes if name in ("src", "href")]
        if tag not in ("meta", "rect"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag != "rect":
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.shown += data


def test_the_page_needs_no_other_and_shows_the_same():
    asked = ask(objective="span_corruption")
    made = pictures(asked, "Is <b>bold</b> & co. a tag, or is it not?")
    found = Page(page.html_page(made, asked))
    assert not found.open and not found.loads and "b" not in found.tags and "<b>bold" not in found.shown
    for token in made[0].window:
        assert token.text in found.shown
    cells = sum(row.sum() for layout in made[0].layouts for stream in layout.streams for p in stream.positions
                for row in p.sees)
    assert found.tags.count("rect") == cells
    wide = Page(page.html_page(pictures(asked, SENTENCE * 6), asked))
    assert wide.tags.count("rect") < 1000  # a stretch at a time


# --- a run's batches, and what is refused ------------------------------------------------------------------------

@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """{name: how its command ended}"""
    directory = tmp_path_factory.mktemp("inspect")
    corpus = write_corpus(directory / "text.txt")
    run = [f"--config.{name}={value}" for name, value in
           (TINY | {"data.corpus": corpus, "data.cache_dir": directory / "cache"}).items()]
    asked = {"run": [*run, "--examples=2"], "run page": [*run, "--objective=span_corruption",
                                                        "--architecture=encoder_decoder", f"--html={directory}/a.html"],
             "run text": [*run, "--text=baka kimo", "--seed=3"], "nothing": ["--objective=masked_lm"],
             "directory": [f"--html={directory}"], **{name: arguments for name, (arguments, _) in REFUSED.items()}}
    ended = many([(INSPECT, arguments) for arguments in asked.values()] + [("experiments.objectives", [])],
                 PRELOAD)
    return dict(zip([*asked, "objectives"], ended, strict=True)) | {"written": directory / "a.html"}


REFUSED = {
    "unknown objective": (["--objective=span_coruption"], "unknown objective 'span_coruption'. Did you mean 'span_"),
    "unknown option": (["--objective.rat=1"], "objective.rat: there is no field 'rat' here. Did you mean 'rate'?"),
    "unknown architecture": (["--architecture=encoder"], "unknown architecture 'encoder'. Did you mean 'encoder_"),
    "incompatible": (["--objective=masked_lm", "--architecture=decoder_only"],
                     ("architecture=decoder_only cannot train objective=masked_lm: it fills in", "use encoder_only")),
    "too short": (["--text=Hi"], ("objective=span_corruption: the text is 2 tokens long with its BOS, and rate=0.15 "
                                  "corrupts 0 of 2")),
    "no words": (["--text= "], "--text is empty"),
    "no option": (["--objective.rate=lots"], "objective.rate: expected float, got 'lots'"),
    "out of range": (["--objective.rate=2"], "rate: 2.0 is out of range: 0.0 to 1.0"),
    "words of a run": (["--config=configs/base.py", "--tokenizer=words"], "--tokenizer=words needs a --text"),
    "not a tokenizer": (["--tokenizer=bpe"], "value should be one of <words|pieces>"),
    "no examples": (["--examples=0"], "0 is not a positive integer"),
    "stray": (["masked_lm"], "unexpected argument 'masked_lm'"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_drawn_is_one_line(commands, name):
    assert_one_line(commands[name], REFUSED[name][1])
    assert commands[name]["out"] == ""


def test_a_run_shows_the_windows_it_trains_on(commands):
    ended = commands["run"]
    assert (ended["code"], ended["err"]) == (0, "")
    assert "example 0" in ended["out"] and "example 1" in ended["out"] and "decoder_only" in ended["out"]
    assert "stream of 16, causal" in ended["out"]
    assert commands["run page"]["code"] == 0 and commands["written"].read_text().startswith("<!doctype html>")
    assert "baka" not in commands["run text"]["out"].split() and "[EOS]" in commands["run text"]["out"]  # in pieces
    assert "encoder_only" in commands["nothing"]["out"] and "Thank" in commands["nothing"]["out"]
    assert_one_line(commands["directory"], "cannot be written")


def test_a_text_without_anything_to_predict_says_so():
    with pytest.raises(UserError, match="objective=masked_lm finds nothing to predict in this text; give a longer one"):
        pictures(ask(objective="masked_lm", objective__unit="word", objective__rate="0.3"), "a.........")


# --- the matrix of objectives ------------------------------------------------------------------------------------

def test_every_pair_is_marked_or_has_a_reason_that_is_given_once(commands):
    found = matrix.compatibility()
    assert {(a, o) for (o, a), number in found.cells.items() if not number} == set(compatible_pairs())
    assert len(set(found.reasons)) == len(found.reasons) == max(found.cells.values())
    for (objective, architecture), number in found.cells.items():
        reason = ARCHITECTURES.get(architecture)().refusal(OBJECTIVES.get(objective)())
        assert reason == (found.reasons[number - 1] if number else None)
    text = " ".join(commands["objectives"]["out"].split())
    assert commands["objectives"]["code"] == 0 and text.count("✓") == len(compatible_pairs()) + 1
    assert all(text.count(" ".join(words.split())) == 1 for words in [*found.reasons, *found.abouts.values()])
    assert matrix.markdown(found).count("✓") == len(compatible_pairs())
