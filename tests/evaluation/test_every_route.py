"""Every architecture with every objective: a score does not depend on what it is computed beside."""

import copy
import functools

import numpy as np
import pytest

from arch_zoo.evaluation import likelihood
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.objectives import Undefined
from arch_zoo.objectives.rows import padded
from tests.evaluation.test_likelihood import VOCABULARY, config_of, items_of, scorer_of, sentences, trained
from tests.evaluation.toy_text import noisy_parameters
from tests.toy import compatible_pairs, toy_model

ROUTES = ("conditional", "plausibility", "plausibility_within_words")
EVERY = compatible_pairs()
# With one pair of each architecture there are batches of two shapes; with the others both would only be compiled again.
TWO_SHAPES = [("encoder_only", "masked_lm"), ("decoder_only", "causal_lm"), ("prefix_decoder", "prefix_lm"),
              ("encoder_decoder", "span_corruption")]


@functools.cache
def shared_scorer(architecture, model, visibility) -> Scorer:
    """Objectives that train the same model share what is compiled for it."""
    config = next(config for config in map(lambda pair: config_of(*pair), EVERY)
                  if (config.model, config.model.architecture.name) == (model, architecture))
    return Scorer(model.architecture, toy_model(config), noisy_parameters(config), VOCABULARY)


def scorer_of_pair(architecture, objective) -> Scorer:
    config = config_of(architecture, objective)
    return shared_scorer(architecture, config.model, config.model.architecture.visibility)


def routes_of(objective, pairs):
    """{route: items} of the routes that the objective defines."""
    found = {}
    for route in ROUTES:
        try:
            found[route] = items_of(objective, route, pairs)
        except Undefined:
            continue
    return found


@pytest.mark.parametrize(("architecture", "objective"), EVERY, ids=["-".join(pair) for pair in EVERY])
def test_scores_do_not_depend_on_company_order_batch_size_or_padding(architecture, objective, monkeypatch):
    scorer = scorer_of_pair(architecture, objective)
    pairs = sentences() if (architecture, objective) in TWO_SHAPES else sentences()[:3]
    for items in routes_of(config_of(architecture, objective).objective, pairs).values():
        together = scorer.scores(items)
        assert len(np.unique(together.round(3))) == len(items)
        np.testing.assert_allclose(scorer.scores(items[::-1])[::-1], together, rtol=1e-5)
        small = copy.copy(scorer)
        small.tokens_per_batch = 1  # batches of 8 rows, not of a hundred, and more padding: both at once, each compiles
        with monkeypatch.context() as patch:
            patch.setattr(likelihood, "padded", lambda length: padded(length) + 9)
            np.testing.assert_allclose(small.scores(item for item in items * 2), np.tile(together, 2), rtol=1e-5)


def test_most_pairs_have_a_route_and_the_others_say_why():
    without = {objective for architecture, objective in EVERY
               if not routes_of(config_of(architecture, objective).objective, sentences())}
    assert without == {"deshuffling"}


@pytest.mark.parametrize(("architecture", "objective"), [("encoder_only", "masked_lm"), ("prefix_decoder", "prefix_lm"),
                                                         ("encoder_decoder", "span_corruption")])
def test_padding_that_is_seen_would_count(architecture, objective, monkeypatch):
    """The control of the test above: where padding is a token like any other, scores change with it."""
    scorer, items = scorer_of_pair(architecture, objective), items_of(
        config_of(architecture, objective).objective, "plausibility", sentences())
    right, collate = scorer.scores(items), likelihood.collate

    def with_visible_padding(rows, shape, size):
        example = collate(rows, shape, size)
        for name in ("segment_ids", "source_segment_ids"):
            if hasattr(example, name):
                getattr(example, name)[:] = 1
        return example

    monkeypatch.setattr(likelihood, "collate", with_visible_padding)
    assert np.abs(scorer.scores(items) - right).max() > 1e-3


def test_lengths_are_few_and_little_is_padded():
    lengths = np.arange(1, 3000)
    to = np.array([padded(int(n)) for n in lengths])
    assert (to >= lengths).all() and (np.diff(to) >= 0).all()
    assert ((to - lengths) <= np.maximum(3, lengths / 8 + 1)).all()
    assert len(set(to[:64])) == 16 and len(set(to)) < 64


def test_items_are_taken_as_they_come():
    """No more rows wait than batches can hold, however many items there are."""
    scorer = copy.copy(scorer_of("encoder_only", "masked_lm"))
    scorer.tokens_per_batch = 64
    objective, (pair,) = trained("encoder_only", "masked_lm")[0].objective, sentences()[:1]
    began, scored = 0, []

    class Counting(likelihood._Sums):
        def expect(self, owners, scores):
            scored.append((began, len(owners)))
            super().expect(owners, scores)

    def items():
        nonlocal began
        for _ in range(50):
            began += 6
            yield objective.plausibility(*pair, VOCABULARY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(likelihood, "_Sums", Counting)
        assert np.ptp(scorer.scores(items())) < 1e-4
    done = np.cumsum([count for _, count in scored])
    assert done[-1] == 300 and max(begun - before for (begun, _), before in
                                   zip(scored, [0, *done[:-1]], strict=True)) < 20


