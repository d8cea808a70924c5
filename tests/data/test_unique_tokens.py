"""Repeated data: a run sees only so many tokens of its training split, as often as its steps need."""

import numpy as np
import pytest

from arch_zoo.config import DataConfig
from arch_zoo.data.pipeline import PackedPairs, Windows
from arch_zoo.data.prepare import prepare_data
from arch_zoo.errors import UserError
from arch_zoo.examples import Lengths
from arch_zoo.settings import FieldError
from arch_zoo.training.batches import evaluation_batches, training_batches
from tests.toy import tiny_config

UNIQUE = 10 * 32 + 5  # ten windows, and less than another one


@pytest.fixture(scope="module")
def prepared(corpus_file, tmp_path_factory):
    config = tiny_config(data__corpus=str(corpus_file), data__cache_dir=str(tmp_path_factory.mktemp("cache")),
                         data__tokenizer__vocab_size=360)
    return config, prepare_data(config.data)


def limited(config, tokens: int | None = UNIQUE, **changes):
    return config.replace(data=config.data.replace(unique_tokens=tokens), **changes)


def seen(config, data, steps: int):
    """(places, visits) [steps, batch] of the training windows."""
    found = [training_batches(config, data).windows_at(step) for step in range(steps)]
    return np.stack([window.place for window in found]), np.stack([window.visit for window in found])


def test_a_run_sees_ten_windows_again_and_again(prepared):
    config, data = prepared
    places, visits = seen(limited(config), data, 25)  # 200 examples
    assert len(np.unique(places)) == 10 and np.array_equal(np.bincount(visits.ravel()), [10] * 20)
    assert all(len(set(epoch)) == 10 for epoch in places.reshape(20, 10))
    assert len({tuple(epoch) for epoch in places.reshape(20, 10)}) > 15  # each in an order of its own
    batches = training_batches(limited(config), data)
    tokens = {row.tobytes() for step in range(25) for row in batches.windows_at(step).tokens}
    assert len(tokens) == 10 and len(np.unique(seen(config, data, 25)[0])) > 100


def test_they_are_the_same_in_every_run_not_the_corpus_beginning_and_a_part_of_more(prepared):
    config, data = prepared
    ten, other, twenty = (set(seen(one, data, 25)[0].ravel().tolist())
                          for one in (limited(config), limited(config, seed=1), limited(config, 20 * 32)))
    assert ten == other and ten < twenty and len(twenty) == 20
    assert max(ten) > training_batches(config, data).windows.count // 2


def test_held_out_text_stays_whole(prepared):
    config, data = prepared
    for split in ("validation", "test"):
        whole, found = (evaluation_batches(one, data, split).windows for one in (config, limited(config)))
        index = np.arange(whole.count)
        assert whole.count == found.count and np.array_equal(whole.at(index).tokens, found.at(index).tokens)


def test_a_batch_still_depends_on_its_step_alone(prepared):
    """So a run that is resumed goes on as it would have."""
    config, data = prepared
    whole = seen(limited(config), data, 12)[0]
    fresh = training_batches(limited(config), prepare_data(config.data))
    assert all(np.array_equal(fresh.windows_at(step).place, whole[step]) for step in (11, 3, 7))


def test_texts_from_elsewhere_are_of_the_same_windows(prepared):
    config, data = prepared
    windows = training_batches(limited(config), data).windows
    assert windows.has_elsewhere()
    every = windows.at(np.arange(10))
    tokens, segments = windows.elsewhere(np.repeat(every.place, 50), np.tile(np.linspace(0, 0.999, 50), 10))
    known = {row.tobytes(): place for row, place in zip(every.tokens, every.place, strict=True)}
    assert (segments > 0).all() and {row.tobytes() for row in tokens} == known.keys()
    for row, place in zip(tokens, np.repeat(every.place, 50), strict=True):
        assert abs(known[row.tobytes()] - place) > 0


def test_one_window_has_no_elsewhere(prepared):
    windows = training_batches(limited(prepared[0], 32), prepared[1]).windows
    assert windows.count == 1 and not windows.has_elsewhere()
    tokens, segments = windows.elsewhere(windows.at(np.arange(3)).place, np.linspace(0, 0.9, 3))
    assert tokens.shape == (3, 33) and not segments.any()


def test_rows_of_pairs_are_chosen_too(tmp_path):
    config = DataConfig(corpus="parallel:synthetic:copy:pairs=300", cache_dir=str(tmp_path))
    data = prepare_data(config.replace(tokenizer=config.tokenizer.replace(vocab_size=330, sentinels=8)))
    whole, some = (PackedPairs(data.stores["train"], Lengths(32, 48), seed=0, unique_tokens=tokens)
                   for tokens in (None, 4 * 80 + 79))
    assert some.count == 4 < whole.count
    rows = some.at(np.arange(12))
    assert len(np.unique(rows.place)) == 4 and np.array_equal(rows.visit, np.arange(12) // 4)
    everything = whole.at(np.arange(whole.count))
    for source, place in zip(rows.source, rows.place, strict=True):
        assert np.array_equal(source, everything.source[everything.place == place][0])


def test_too_few_and_too_many_are_refused_in_a_line(prepared):
    config, data = prepared
    with pytest.raises(FieldError, match=r"unique_tokens: 31 tokens do not fill one window of data.length=32$"):
        limited(config, 31)
    with pytest.raises(FieldError, match="unique_tokens: is of one corpus, and data.mixed_with names more"):
        config.data.replace(unique_tokens=64, mixed_with=("other.txt",))
    store = data.stores["train"]
    most = (len(store) - 1) // 32 * 32
    message = (rf"data.unique_tokens={most + 1000}: .*train has {most} tokens in windows of 32; give a number from 32 "
               rf"to {most}$")
    with pytest.raises(UserError, match=message):
        training_batches(limited(config, most + 1000), data)
    assert Windows(store, 32, segments=True, seed=0, unique_tokens=most).count == most // 32
