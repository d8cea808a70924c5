"""Scores of written sequences: sacrebleu's own, with its signature, and exact match."""

import math

import pytest
import sacrebleu

from arch_zoo.evaluation.sequences import matches, score_sequences

WRITTEN = ["a man rides a horse .", "two dogs run on the grass .", "a woman", "the end ."]
REFERENCES = ["a man is riding a horse .", "two dogs run on the grass .", "a woman reads a book .", "the  end ."]


def test_bleu_and_chrf_are_sacrebleus():
    scores = score_sequences(WRITTEN, REFERENCES)
    assert scores["bleu"].value == sacrebleu.corpus_bleu(WRITTEN, [REFERENCES]).score
    assert scores["chrf"].value == sacrebleu.corpus_chrf(WRITTEN, [REFERENCES]).score
    assert 0 < scores["bleu"].value < 100 and scores["bleu"].error is None


def test_what_a_person_cites_has_the_signature():
    scores = score_sequences(WRITTEN, REFERENCES)
    version = sacrebleu.__version__
    assert scores["bleu"].text == (f"BLEU {scores['bleu'].value:.2f}  nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|"
                                   f"version:{version}")
    assert scores["chrf"].text.endswith(f"nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no|version:{version}")


def test_exact_match_is_a_share_with_its_error():
    found = score_sequences(WRITTEN, REFERENCES)["exact_match"]
    assert found.value == 0.5 and found.text == "exact match 50.00% of 4"
    assert found.error == pytest.approx(math.sqrt(0.5 * 0.5 / 3))
    assert score_sequences(["a b"], ["a b"])["exact_match"].error is None
    assert score_sequences(REFERENCES, REFERENCES)["bleu"].value == pytest.approx(100)


@pytest.mark.parametrize(("written", "reference", "same"), [
    ("I_JUMP I_RUN", "I_JUMP  I_RUN ", True), ("I_JUMP", "I_JUMP I_JUMP", False), ("a", "A", False), ("", " ", True)])
def test_white_space_does_not_count(written, reference, same):
    assert matches(written, reference) is same


def test_as_many_of_either():
    with pytest.raises((ValueError, EOFError)):
        score_sequences(["a", "b"], ["a"])
