"""What is left of a distribution, in closed form, and how often each token is drawn."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from arch_zoo.errors import UserError
from arch_zoo.generation.sampling import Sampling

PROBABILITIES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
LOGITS = np.log(PROBABILITIES)[None] + 2.0
NOTHING = np.zeros((1, 5), bool)
INF = -np.inf


def remaining(seen=NOTHING, logits=LOGITS, **options) -> np.ndarray:
    return np.asarray(Sampling(**{"temperature": 1.0} | options).remaining(jnp.asarray(logits), jnp.asarray(seen)))


def kept(**options) -> list[int]:
    return np.flatnonzero(np.isfinite(remaining(**options)[0])).tolist()


@pytest.mark.parametrize(("options", "tokens"), [
    ({}, [0, 1, 2, 3, 4]),
    ({"top_k": 1}, [0]), ({"top_k": 3}, [0, 1, 2]), ({"top_k": 9}, [0, 1, 2, 3, 4]),
    ({"top_p": 0.0}, [0]), ({"top_p": 0.39}, [0]), ({"top_p": 0.5}, [0, 1]), ({"top_p": 0.84}, [0, 1, 2]),
    ({"top_p": 0.96}, [0, 1, 2, 3, 4]),
    ({"min_p": 0.2}, [0, 1, 2, 3]), ({"min_p": 0.7}, [0, 1]), ({"min_p": 1.0}, [0]),
    # Each cut is made in what the one before has left: of three tokens the first two have 0.82.
    ({"top_k": 3, "top_p": 0.8}, [0, 1]), ({"top_p": 0.8}, [0, 1, 2]),
    ({"top_k": 4, "top_p": 0.9, "min_p": 0.5}, [0, 1]),
    # A low temperature sharpens first: the squares of the first two are 0.56 and 0.32 of all.
    ({"temperature": 0.5, "top_p": 0.6}, [0, 1]), ({"temperature": 0.25, "top_p": 0.7}, [0]),
    ({"temperature": 0.5, "min_p": 0.5}, [0, 1]), ({"temperature": 0.5, "min_p": 0.6}, [0])])
def test_what_is_cut_off(options, tokens):
    assert kept(**options) == tokens
    left = remaining(**options)[0]
    np.testing.assert_allclose(left[tokens], LOGITS[0, tokens] / options.get("temperature", 1.0), rtol=1e-6)


def test_the_order_of_tokens_does_not_matter():
    order = np.array([3, 0, 4, 2, 1])
    for options in ({"top_k": 2}, {"top_p": 0.8}, {"min_p": 0.3}):
        np.testing.assert_array_equal(remaining(logits=LOGITS[:, order], **options), remaining(**options)[:, order])


def test_repetition_makes_less_likely_on_either_side_of_zero():
    logits, seen = np.array([[2.0, 2.0, -2.0, -2.0]]), np.array([[True, False, True, False]])
    found = remaining(seen, logits, repetition_penalty=1.25)
    np.testing.assert_allclose(found, [[1.6, 2.0, -2.5, -2.0]], rtol=1e-6)
    greedy = Sampling(repetition_penalty=1.25)
    assert int(greedy.choose(jnp.asarray(logits), jnp.asarray(seen), jnp.zeros(1, int), jnp.zeros((), int))[0]) == 1
    np.testing.assert_allclose(remaining(seen, logits, repetition_penalty=1.25, temperature=2.0), found / 2)


# --- draws -------------------------------------------------------------------------------------------------------

DRAWS = 4000


def frequencies(step: int = 0, logits=LOGITS, **options) -> np.ndarray:
    """How often each token is drawn in so many rows."""
    sampling = Sampling(**{"temperature": 1.0} | options)
    rows = jnp.repeat(jnp.asarray(logits), DRAWS, axis=0)
    tokens = sampling.choose(rows, jnp.zeros(rows.shape, bool), jnp.arange(DRAWS), jnp.asarray(step))
    return np.bincount(np.asarray(tokens), minlength=rows.shape[1])


@pytest.mark.parametrize(("options", "wanted"), [
    ({}, PROBABILITIES),
    ({"temperature": 2.0}, PROBABILITIES**0.5 / (PROBABILITIES**0.5).sum()),
    ({"top_k": 2}, np.array([4 / 7, 3 / 7, 0, 0, 0])),
    ({"top_p": 0.8, "temperature": 0.5}, np.array([16 / 25, 9 / 25, 0, 0, 0])),
    ({"min_p": 0.3}, np.array([40 / 85, 30 / 85, 15 / 85, 0, 0]))])
def test_tokens_are_drawn_as_often_as_they_are_probable(options, wanted):
    """Within bounds that a right count leaves once in a hundred thousand draws of the seed."""
    for counts in (frequencies(**options), frequencies(step=7, **options), frequencies(seed=5, **options)):
        low, high = scipy.stats.binom.interval(1 - 1e-5, DRAWS, wanted)
        assert ((counts >= low) & (counts <= high)).all(), (counts, DRAWS * wanted)
    # The bounds are narrow enough to tell other settings apart.
    other = frequencies(temperature=0.2)
    assert not ((other >= low) & (other <= high)).all()


def test_low_temperatures_are_greedy():
    logits = jax.random.normal(jax.random.key(0), (64, 30))
    arguments = logits, jnp.zeros(logits.shape, bool), jnp.arange(64), jnp.zeros((), int)
    cold, greedy, warm = (Sampling(temperature=t).choose(*arguments) for t in (1e-4, 0.0, 1.0))
    np.testing.assert_array_equal(cold, greedy)
    np.testing.assert_array_equal(greedy, logits.argmax(axis=1))
    assert (warm != greedy).mean() > 0.3


def test_seeds_rows_and_steps_have_draws_of_their_own():
    rows = jnp.zeros((50, 20))

    def drawn(row_ids, step, seed=0):
        return np.asarray(Sampling(temperature=1.0, seed=seed).choose(
            rows, jnp.zeros(rows.shape, bool), jnp.asarray(row_ids), jnp.asarray(step)))

    base, index = drawn(np.arange(50), 3), np.arange(50)
    np.testing.assert_array_equal(drawn(index[::-1], 3), base[::-1])  # it is the number of the row that counts
    for other in (drawn(index, 4), drawn(index, 3, seed=1), drawn(index + 50, 3)):
        assert (other != base).mean() > 0.7


def test_every_option_bites():
    """Each changes what remains, or which of it is drawn."""
    seen, base = np.arange(5)[None] < 1, Sampling(temperature=1.0)
    for change in ({"repetition_penalty": 1.5}, {"temperature": 0.7}, {"top_k": 2}, {"top_p": 0.6}, {"min_p": 0.5}):
        assert not np.array_equal(remaining(seen, **change), remaining(seen)), change
    assert not np.array_equal(frequencies(seed=1), frequencies())
    assert {field.name for field in dataclasses.fields(base)} == {
        "repetition_penalty", "temperature", "top_k", "top_p", "min_p", "seed"}


@pytest.mark.parametrize("options", [{"top_k": 5}, {"top_p": 0.9}, {"min_p": 0.1}, {"seed": 1}], ids=str)
def test_what_needs_a_temperature_is_refused_without_one(options):
    with pytest.raises(UserError, match=f"{next(iter(options))}: nothing is drawn at temperature=0"):
        Sampling(**options)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_p": 1.1}, {"min_p": -0.1}, {"top_k": -1},
                                     {"repetition_penalty": 0.5}, {"seed": -1}], ids=str)
def test_what_is_out_of_range_is_refused(options):
    with pytest.raises(UserError, match="out of range"):
        Sampling(**{"temperature": 1.0} | options)


def test_large_seeds_are_seeds():
    drawn = [frequencies(seed=seed) for seed in (2**31, 2**32 + 1, 2**62)]
    assert not np.array_equal(drawn[0], drawn[1]) and not np.array_equal(drawn[1], drawn[2])
