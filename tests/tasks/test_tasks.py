"""Tasks against what a model of known probabilities must score, and what is said of files that are not right."""

import math
import pathlib
import types

import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.objectives import Undefined
from arch_zoo.settings import FieldError
from arch_zoo.tasks.base import Measured, exponential, mean_of, mean_of_means
from arch_zoo.tasks.blimp import Blimp
from arch_zoo.tasks.cloze import Cloze
from arch_zoo.tasks.lambada import Lambada
from arch_zoo.tasks.multiple_choice import MultipleChoice
from arch_zoo.tasks.perplexity import Perplexity
from tests.evaluation.toy_text import ToyTokenizer, lines, spell
from tests.tasks.asking import subject_of

DATA = pathlib.Path(__file__).parents[3] / "shared" / "data"
CAUSAL, MASKED = ("decoder_only", "causal_lm"), ("encoder_only", "masked_lm")


def values_of(outcome) -> dict[str, float]:
    return {name: one.value for name, one in outcome.values.items()}


# --- blimp -------------------------------------------------------------------------------------------------------

@pytest.fixture
def blimp(tmp_path):
    """Three paradigms in two phenomena; with log p = −id the lower ids win: 2 of 2, 1 of 2 and, by a tie, 0.5 of 1."""
    def pair(good, bad, uid, term):
        return {"sentence_good": spell(good), "sentence_bad": spell(bad), "UID": uid, "linguistics_term": term}

    folder = tmp_path / "blimp"
    folder.mkdir()
    lines(folder / "a.jsonl", pair([30, 31], [30, 32], "a", "first"), pair([30], [31], "a", "first"))
    lines(folder / "b.jsonl", pair([30], [31], "b", "second"), pair([40], [31], "b", "second"))
    lines(folder / "c.jsonl", pair([30, 31], [31, 30], "c", "second"))
    return folder


@pytest.mark.parametrize(("architecture", "objective"), [CAUSAL, MASKED, ("encoder_decoder", "span_corruption")])
def test_blimp_is_a_mean_over_paradigms(blimp, architecture, objective):
    outcome = Blimp(data=str(blimp)).run(subject_of(architecture, objective))
    assert values_of(outcome)["acc"] == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert {name: part.values["acc"].value for name, part in outcome.parts.items()} == {"a": 1, "b": 0.5, "c": 0.5}
    assert {name: (part.values["acc"].value, part.members) for name, part in outcome.groups.items()} == \
        {"first": (1.0, ("a",)), "second": (0.5, ("b", "c"))}
    assert outcome.values["acc"].error is None  # one pair in c
    assert [sample["acc"] for sample in outcome.samples] == [1, 1, 1, 0, 0.5]
    assert outcome.samples[0]["resps"] == [[-61.0, None], [-62.0, None]]
    limited = Blimp(data=str(blimp), limit=1).run(subject_of(architecture, objective))
    assert limited.count == 3 and values_of(limited)["acc"] == pytest.approx(2.5 / 3)


def test_errors_of_means():
    assert mean_of([1, 0, 1, 1]) == Measured(0.75, pytest.approx(np.std([1, 0, 1, 1], ddof=1) / 2))
    assert mean_of_means([Measured(1.0, 0.3), Measured(0.0, 0.4)]) == Measured(0.5, pytest.approx(0.25))
    assert mean_of([2.0]).error is None and mean_of_means([Measured(1.0), Measured(0.0, 0.4)]).error is None
    assert exponential(Measured(math.log(10), 0.01)) == Measured(pytest.approx(10), pytest.approx(0.1))
    rng = np.random.default_rng(0)  # the errors are those of repeated samples
    found = [mean_of_means([mean_of(rng.random(50) < p) for p in (0.2, 0.5, 0.9)]) for _ in range(400)]
    assert np.std([one.value for one in found]) == pytest.approx(np.mean([one.error for one in found]), rel=0.1)


def test_within_words_reaches_the_rows(blimp):
    seen = {}
    for form in ("trained", "within_words"):
        subject = subject_of(*MASKED)
        Blimp(data=str(blimp), likelihood=form).run(subject)
        seen[form] = [row.tokens[0].tolist() for row in subject.scorer.rows]
    assert seen["trained"][0] == [2, 4, 31, 3] and seen["within_words"][0] == [2, 4, 4, 3]


@pytest.mark.skipif(not (DATA / "blimp").is_dir(), reason="BLiMP is not beside the project")
def test_all_of_blimp_has_its_phenomena():
    task = Blimp(data=str(DATA / "blimp"), limit=2)
    outcome = task.run(subject_of(*CAUSAL, tokenizer=Characters()))
    assert len(outcome.parts) == 67 and outcome.count == 134 and len(outcome.groups) == 13
    assert sum(len(group.members) for group in outcome.groups.values()) == 67


class Characters:
    """A tokenizer of characters, over the toy ids."""

    def __init__(self):
        from tests.toy import toy_vocabulary

        self.vocabulary = toy_vocabulary()

    def encode(self, text):
        return [21 + ord(c) % 43 for c in text]

    def encode_batch(self, texts):
        return [self.encode(text) for text in texts]


# --- lambada -----------------------------------------------------------------------------------------------------

def test_lambada_asks_for_the_whole_last_word(tmp_path):
    """Of known greedy tokens: a word counts where all of its tokens are the likeliest."""
    path = lines(tmp_path / "l.jsonl", "w50 w30", {"text": "w50 w51\nw52 w31"}, "w30 w40")
    log_p = {30: -0.5, 31: -0.25, 40: -2.0}
    outcome = Lambada(data=path).run(subject_of(*CAUSAL, log_p=lambda token: log_p.get(token, -9.0)))
    assert values_of(outcome) == {"acc": pytest.approx(2 / 3), "perplexity": pytest.approx(math.exp(2.75 / 3))}
    assert [sample["target"] for sample in outcome.samples] == [" w30", " w31", " w40"]
    assert Lambada(data=path, limit=2).run(subject_of(*CAUSAL, log_p=lambda t: log_p.get(t, -9.0))).count == 2


def test_a_masked_model_cannot_do_lambada(tmp_path):
    with pytest.raises(Undefined, match="no left-to-right likelihood"):
        Lambada(data=lines(tmp_path / "l.jsonl", "w50 w30")).run(subject_of(*MASKED))


# --- multiple choice ---------------------------------------------------------------------------------------------

CHOICES = {"query": "w30 w31", "choices": ["w40", "w22 w23", "w24 w25 w26"], "answer": 1}


def choices_file(tmp_path, count=1):
    return lines(tmp_path / "m.jsonl", *[CHOICES] * count)


@pytest.mark.parametrize("likelihood", ["auto", "within_words"])
def test_choices_and_blanks_are_scored_as_asked(tmp_path, likelihood):
    """Continuations of two words or of one, which is masked as a whole within words."""
    found = []
    for task in (MultipleChoice(data=choices_file(tmp_path), likelihood=likelihood),
                 Cloze(data=lines(tmp_path / "c.jsonl", {"text": "XXXXX w31", "choices": ["w30", "w33"], "answer": 0}),
                       likelihood=likelihood)):
        subject = subject_of(*MASKED, tokenizer=ToyTokenizer())
        task.replace(**{"answer_context": "w29"} if isinstance(task, MultipleChoice) else {}).run(subject)
        found.append(max((row.tokens == 4).sum() for row in subject.scorer.rows))
    assert found == ([3, 2] if likelihood == "within_words" else [1, 1])


def test_ways_of_scoring_choices(tmp_path):
    """log p = −id: sums −40, −45, −75; per token −40, −22.5, −25; per byte (with its space) −10, −5.6, −6.3."""
    task = MultipleChoice(data=choices_file(tmp_path), answer_context="w29")
    outcome = task.run(subject_of(*CAUSAL))
    assert values_of(outcome) == {"acc": 0, "acc_per_token": 1, "acc_per_byte": 1, "acc_unconditional": 0}
    sample, = outcome.samples
    assert [nats for nats, _ in sample["resps"]] == [-40, -45, -75] == sample["unconditional"]
    assert sample["chosen"] == {"acc": 0, "acc_per_token": 1, "acc_per_byte": 1, "acc_unconditional": 0}
    assert [metric.chance for metric in task.metrics()] == [pytest.approx(1 / 3)] * 4
    masked = task.run(subject_of(*MASKED))
    assert values_of(masked) == values_of(outcome) and "one token masked" in masked.how


class Copying:
    """A scorer that likes tokens that stand in the context: conditional and unconditional likelihoods differ."""

    tokens_per_batch = 64

    def scored(self, items, greedy=False):
        nats = [sum(1.0 if token in row.tokens[0][:place + 1] else -1.0 for row in item for place, (token, weight) in
                    enumerate(zip(row.targets[0], row.loss_weights[0], strict=True)) if weight) for item in items]
        return types.SimpleNamespace(nats=np.array(nats), greedy=np.zeros(len(nats), bool))


def test_the_unconditional_likelihood_is_that_behind_the_answer_context(tmp_path):
    path = lines(tmp_path / "m.jsonl", {"context": "w30", "choices": ["w31", "w30"], "answer": "w31"})
    subject = subject_of(*CAUSAL)
    object.__setattr__(subject, "scorer", Copying())
    found = MultipleChoice(data=path, answer_context="w29").run(subject)
    assert found.samples[0]["unconditional"] == [-1, -1] and values_of(found)["acc_unconditional"] == 0
    other = MultipleChoice(data=path, answer_context="w30").run(subject)
    assert other.samples[0]["unconditional"] == [-1, 1]


def test_few_shot_prompts_are_drawn_by_seed_and_question(tmp_path):
    train = lines(tmp_path / "t.jsonl", CHOICES, *({"query": f"w{n}", "choices": ["w21", f"w{n + 1}"], "answer": 1}
                                                   for n in range(30, 50, 2)))
    task = MultipleChoice(data=choices_file(tmp_path, 4), shots=2, train=train, between=" w28 ", separator=" w27 ",
                          answer_context="w29")

    def prompts(task):
        return [sample["arguments"][0][0] for sample in task.run(subject_of(*CAUSAL)).samples]

    first = prompts(task)
    assert prompts(task) == first and len(set(first)) == 4
    assert prompts(task.replace(seed=1)) != first
    for prompt in first:
        *examples, question = prompt.split(" w28 ")
        assert question == "w30 w31" and len(examples) == 2
        for query, answer in (example.split(" w27 ") for example in examples):
            assert int(answer[1:]) == int(query[1:]) + 1  # with the right answer, and never the question itself
    asked = prompts(task.replace(shots=0, prompt="w26 {query} w25"))
    assert asked[0] == "w26 w30 w31 w25"


# --- cloze -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective"), [CAUSAL, MASKED])
def test_cloze_takes_the_likeliest_whole_text(tmp_path, architecture, objective):
    path = lines(tmp_path / "c.jsonl",
                 {"text": "w30 XXXXX w31", "choices": ["w40", "w39"], "answer": "w39", "context": "w22 w23"},
                 {"text": "w30 XXXXX w31", "choices": ["w40", "w39"], "answer": 0})
    task = Cloze(data=path)
    outcome = task.run(subject_of(architecture, objective))
    assert values_of(outcome) == {"acc": 0.5}
    assert [nats for nats, _ in outcome.samples[0]["resps"]] == [-101, -100]  # the context is not scored
    assert task.metrics()[0].chance == 0.5
    with pytest.raises(UserError, match="c.jsonl:1: the blank '_' must stand in the text once, it does 0 times"):
        task.replace(blank="_").metrics()
    apart = task.replace(separator=" w50 ").run(subject_of(architecture, objective))
    assert [nats for nats, _ in apart.samples[0]["resps"]] == [-151, -150]


# --- perplexity --------------------------------------------------------------------------------------------------

def text_file(tmp_path, text):
    (tmp_path / "text.txt").write_text(text)
    return str(tmp_path / "text.txt")


@pytest.mark.parametrize("stride", [None, 4, 1, 3])
@pytest.mark.parametrize(("architecture", "objective"), [CAUSAL, MASKED, ("encoder_decoder", "span_corruption"),
                                                         ("prefix_decoder", "prefix_lm")])
def test_every_token_is_scored_once(tmp_path, architecture, objective, stride):
    """Of a model that knows no context all protocols give the same sums, over the text's own bytes and words."""
    text = spell(range(30, 43)) + "\n"
    subject = subject_of(architecture, objective, lambda token: -math.log(2) * token)
    task = Perplexity(data=text_file(tmp_path, text), length=4, stride=stride)
    outcome, bits = task.run(subject), sum(range(30, 43))
    stem, name = ("pseudo_" if objective == "masked_lm" else ""), task.protocol
    assert name == ("windows_4" if stride in (None, 4) else f"sliding_4_stride_{stride}")
    known = {key: value for key, value in values_of(outcome).items() if value is not None}
    assert known == {f"{stem}bits_per_byte_{name}": pytest.approx(bits / len(text)),
                     f"{stem}word_perplexity_{name}": pytest.approx(2 ** (bits / 13)),
                     f"{stem}perplexity_{name}": pytest.approx(2 ** (bits / 13))}
    missing = [one.reason for one in outcome.values.values() if one.value is None]
    assert len(missing) == 3 and all(missing)
    assert list(outcome.values) == [metric.name for metric in task.metrics()]


@pytest.mark.parametrize(("stride", "expected"), [
    (None, [([], [0, 1, 2, 3]), ([], [4, 5, 6, 7]), ([], [8])]),
    (2, [([], [0, 1, 2, 3]), ([2, 3], [4, 5]), ([4, 5], [6, 7]), ([5, 6, 7], [8])]),
    (3, [([], [0, 1, 2, 3]), ([3], [4, 5, 6]), ([5, 6], [7, 8])])])
def test_windows_are_as_they_are_drawn(stride, expected):
    assert Perplexity(length=4, stride=stride).windows(list(range(9)), 0) == expected


def test_without_a_bos_the_token_before_a_window_is_given():
    assert Perplexity(length=4).windows(list(range(9)), 1) == \
        [([0], [1, 2, 3]), ([3], [4, 5, 6, 7]), ([7], [8])]
    assert Perplexity(length=4, stride=2).windows(list(range(7)), 1) == \
        [([0], [1, 2, 3]), ([2, 3], [4, 5]), ([3, 4, 5], [6])]


def test_words_are_what_white_space_separates(tmp_path):
    text = "w30 w31\nw33 w34 w36\n"
    task = Perplexity(data=text_file(tmp_path, text))
    outcome = task.run(subject_of(*CAUSAL, log_p=lambda token: -1.0))
    assert (outcome.notes["words"], outcome.notes["tokens"], outcome.notes["bytes"]) == (5, 5, len(text))
    with_ends = task.replace(line_ends=True).run(subject_of(*CAUSAL, log_p=lambda token: -1.0))
    assert with_ends.notes["words"] == 7
    assert values_of(with_ends)["word_perplexity_windows_128"] == pytest.approx(math.exp(5 / 7))


def test_documents_and_limits(tmp_path):
    text = "\n".join(spell(range(30, 36)) for _ in range(3)) + "\n\n" + spell(range(40, 45))
    task = Perplexity(data=text_file(tmp_path, text), length=4)
    counts = {cut: task.replace(documents=cut).run(subject_of(*CAUSAL)) for cut in ("file", "blank_line", "line")}
    assert {cut: (one.notes["documents"], one.count, one.notes["tokens"]) for cut, one in counts.items()} == \
        {"file": (1, 6, 23), "blank_line": (2, 7, 23), "line": (4, 8, 23)}
    for limit, tokens in ((1, 4), (2, 8), (5, 20), (100, 23)):
        part = task.replace(limit=limit).run(subject_of(*CAUSAL))
        assert (part.count, part.notes["tokens"], part.notes["words"]) == (min(limit, 6), tokens, tokens)
    by_line = task.replace(limit=3, documents="line").run(subject_of(*CAUSAL))
    assert by_line.notes["tokens"] == 6 + 4 and by_line.notes["bytes"] == len(spell(range(30, 40)))


def test_forms_of_pseudo_perplexity(tmp_path):
    rows = {}
    for form in ("trained", "within_words"):
        subject = subject_of(*MASKED)
        Perplexity(data=text_file(tmp_path, "w30 w31"), form=form).run(subject)
        rows[form] = [row.tokens[0].tolist() for row in subject.scorer.rows]
    assert rows["trained"][0] == [2, 4, 31, 3] != rows["within_words"][0] == [2, 4, 4, 3]
    with pytest.raises(FieldError, match="stride: 9 is more than length=8"):
        Perplexity(length=8, stride=9)
