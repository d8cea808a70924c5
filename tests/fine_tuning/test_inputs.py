"""Rows of tokens: marks, what is cut, kinds of tokens, padding."""

import numpy as np
import pytest

from arch_zoo.data.labelled.task import Example, Kind
from arch_zoo.fine_tuning.inputs import Marks, encode, fitting, inputs_of, make_row, rows_batch
from tests.evaluation.toy_text import ToyTokenizer, spell
from tests.toy import SIZE

TOKENIZER = ToyTokenizer()
OWN, NEW = Marks.of_tokenizer(TOKENIZER.vocabulary), Marks.new(SIZE)
A, B, C = [30, 31, 32], [40, 41], [50]


@pytest.mark.parametrize(("texts", "marks", "row"), [
    ([A], OWN, [2, *A, 3]), ([A, B], OWN, [2, *A, 3, *B, 3]),
    ([A], NEW, [64, *A, 66]), ([A, B], NEW, [64, *A, 65, *B, 66]),
    ([A, B], Marks(None, 3, 3), [*A, 3, *B, 3]),
])
def test_marks_stand_around_and_between_texts(texts, marks, row):
    made = make_row(texts, marks, 20)
    assert made.ids == row and not made.cut
    assert row[made.second:] == ([*B, row[-1]] if len(texts) == 2 else [])


@pytest.mark.parametrize(("lengths", "room", "kept"), [
    ([5], 8, [5]), ([5], 3, [3]), ([5], -1, [0]), ([5, 4], 9, [5, 4]), ([9, 2], 8, [6, 2]), ([2, 9], 8, [2, 6]),
    ([9, 9], 8, [4, 4]), ([9, 9], 7, [4, 3]), ([7, 9], 7, [3, 4]), ([3, 3], 0, [0, 0])])
def test_the_longer_of_two_texts_is_cut_first(lengths, room, kept):
    assert fitting(lengths, room) == kept


def test_rows_are_never_longer_than_asked_and_say_that_they_were_cut():
    rng = np.random.default_rng(0)
    for _ in range(100):
        lengths, most = rng.integers(0, 12, rng.integers(1, 3)), int(rng.integers(4, 20))
        made = make_row([[30] * n for n in lengths], OWN, most)
        assert len(made.ids) <= most
        assert made.cut == (sum(lengths) + len(lengths) + 1 > most)
        assert made.ids[0] == 2 and made.ids[-1] == 3


def test_each_kind_has_its_rows():
    pair = Example((spell(A), spell(B)), 0)
    choice = Example((spell(A),), 0, (spell(B), spell(C)))

    def rows(example, kind):
        return [row.ids for row in encode([example], kind, TOKENIZER, OWN, 20).rows[0]]

    assert rows(pair, Kind.PAIR) == [[2, *A, 3, *B, 3]]
    assert rows(pair, Kind.SIMILARITY) == [[2, *A, 3, *B, 3], [2, *B, 3, *A, 3]]
    assert rows(choice, Kind.CHOICE) == [[2, *A, 3, *B, 3], [2, *A, 3, *C, 3]]
    encoded = encode([pair, choice.__class__((spell(A * 9), spell(B)), 0)], Kind.SIMILARITY, TOKENIZER, OWN, 12)
    assert encoded.cut == 1  # an example counts once, however many of its rows are cut


def test_a_batch_says_what_each_token_is_and_is_to_predict():
    batch = rows_batch([make_row([A, B], OWN, 10), make_row([C], OWN, 10)], 10, 0, types=True)
    assert batch.stream.tokens.tolist() == [[2, *A, 3, *B, 3, 0, 0], [2, *C, 3, *[0] * 7]]
    assert batch.stream.types.tolist() == [[0] * 5 + [1] * 3 + [0] * 2, [0] * 10]
    assert batch.targets[0, :7].tolist() == [*A, 3, *B, 3] and batch.loss_weights.sum(axis=1).tolist() == [7, 2]
    assert (batch.targets[:, :-1] == batch.stream.tokens[:, 1:]).all()
    assert rows_batch([make_row([A, B], OWN, 10)], 10, 0).stream.types.sum() == 0


def test_batches_are_padded_to_a_few_lengths_and_to_all_choices():
    rows = [[make_row([A], OWN, 32)], [make_row([A], OWN, 32), make_row([B], OWN, 32)]]
    inputs = inputs_of(rows, 3, 32, 0, types=False)
    assert inputs.present.tolist() == [[True, False, False], [True, True, False]]
    assert inputs.batch.stream.tokens.shape == (6, 8)
    lengths = {inputs_of([[make_row([[30] * n], OWN, 32)]], 1, 32, 0, types=False).batch.stream.tokens.shape[1]
               for n in range(40)}
    assert lengths == {8, 16, 32}
