"""Every architecture × objective that is allowed, and every position scheme in each form: nothing leaks.

And it learns: each objective in one architecture, the plainest in all, each position scheme in one stack and in two.

An objective declares which tokens of the window must be hidden from each target. Here gradients decide: the loss of a
target is differentiated by the embeddings of the streams, and each gradient is carried back to the token of the window
that the embedded token came from.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives.base import Seeds
from arch_zoo.registry import POSITIONS
from tests.toy import (
    WITHOUT_BIASES,
    compatible_pairs,
    drawn,
    padded,
    tiny_config,
    toy_batch,
    toy_losses,
    toy_model,
    toy_text,
    toy_vocabulary,
    toy_window,
)

PAIRS = compatible_pairs()
USUAL = "rotary"
PLAINEST = ("causal_lm", "masked_lm", "span_corruption")  # of each form
# Each way of seeing, in one stack and in two: these meet every position scheme.
MEET_POSITIONS = [("decoder_only", "causal_lm"), ("encoder_only", "masked_lm"), ("prefix_decoder", "span_corruption"),
                  ("encoder_decoder", "span_corruption")]
CHOICES = {"vocabulary": 64, "sentence": 2, "replaced": 2}  # between which each part of a loss decides
CASES = [(*pair, position) for pair in PAIRS for position in POSITIONS.names()
         if position == USUAL or pair in MEET_POSITIONS]
# Each objective in one architecture, the plainest in all: for what does not depend on both at once.
SOME = [pair for pair in PAIRS if pair[1] in PLAINEST or pair == next(p for p in PAIRS if p[1] == pair[1])]
# Of one stack and of two: models learn with every position scheme in these two, and nothing leaks in any.
POSITIONS_LEARN_IN = [("decoder_only", "causal_lm"), ("encoder_decoder", "span_corruption")]
ids = "-".join


@functools.cache
def of_embeddings(model, visibility):
    """(initialisation, gradient of the weighted loss, Jacobian of all losses), both by the embeddings of the streams.

    Compiled once for each shape of a batch, whatever objective made it.
    """
    def losses(perturbations, parameters, batch):
        logits = model.apply({"params": parameters, "perturbations": perturbations}, batch, visibility, train=False)
        return cross_entropy(logits, batch.targets)

    def start(batch):
        return model.init(jax.random.key(1), batch, visibility, train=False)

    weighted = jax.grad(lambda *arguments: jnp.sum(losses(*arguments) * arguments[-1].loss_weights))
    return start, jax.jit(weighted), jax.jit(jax.jacrev(lambda *arguments: losses(*arguments)[0]))


def drawn_variables(start, batch):
    """(perturbations of nothing, parameters far from any initial ones)."""
    shapes = jax.eval_shape(start, batch)
    nothing = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes["perturbations"])
    return nothing, drawn(shapes["params"], 0.3)


@functools.cache
def influence(architecture: str, objective: str, position: str, leak: bool = False, number: int = 0,
              options: tuple[tuple[str, object], ...] = ()):
    """(hidden, influence), both [targets, window]: what must be hidden from each target, and what reaches it.

    `leak` breaks the visibility: everything sees everything. `number` is the example's, from which it is drawn.
    """
    config = tiny_config(model__architecture=architecture, objective=objective, model__position=position,
                         model__activation="gelu_tanh", model__scan=True, batch_size=1, data__length=16,
                         **dict(options))
    if hasattr(config.objective, "rate"):  # enough corruption for a short window
        config = config.replace(objective=config.objective.replace(rate=0.3))
    window = toy_text(config.objective, 1, 16, first=number, documents=False)
    n = window.tokens.shape[1]
    example = config.objective.prepare(window, toy_vocabulary(), Seeds(0))
    batch = padded(config.model.architecture.layout(example, np.arange(1), 2), 32)
    visibility = Visibility.BIDIRECTIONAL if leak else config.model.architecture.visibility
    start, _, jacobian_of = of_embeddings(toy_model(config), visibility)
    jacobian = jacobian_of(*drawn_variables(start, batch), batch)["embedding"]
    reach = np.zeros((batch.targets.shape[1], n))
    for name, stream in (("stream", batch.stream), ("source", batch.source)):
        if stream is not None:
            size = np.abs(np.asarray(jacobian[name][:, 0])).max(axis=-1)  # [targets, positions]
            for place, origin in enumerate(stream.origin[0]):
                if origin >= 0:
                    reach[:, origin] = np.maximum(reach[:, origin], size[:, place])
    carries = batch.loss_weights[0] > 0
    hidden = np.pad(config.objective.hidden(example)[0], ((0, 0), (0, n)))[:, :n]
    return hidden[example.loss_weights[0] > 0], reach[carries], example


@pytest.mark.parametrize(("architecture", "objective", "position"), CASES, ids=map(ids, CASES))
def test_nothing_hidden_reaches_a_target(architecture, objective, position):
    hidden, reach, example = influence(architecture, objective, position)
    n = hidden.shape[1] - 1
    assert (reach[hidden] == 0.0).all(), "a hidden token of the window has a gradient"
    seen = ~hidden[:, :n] & was_read(example, n)
    assert (reach[:, :n][seen] > 0).all(), "a token that should be visible has no gradient"
    assert seen.sum() > 0


def was_read(example, n):
    """bool [n]: the window's tokens that stand in a stream at all (the last target of a decoder does not)."""
    origins = [example.origin] if hasattr(example, "origin") else [example.source_origin, example.target_origin[:, :-1]]
    return np.isin(np.arange(n), np.concatenate([o.ravel() for o in origins]))


@pytest.mark.parametrize(("architecture", "objective"), [p for p in SOME if p[0] != "encoder_only"],
                         ids=[ids(p) for p in SOME if p[0] != "encoder_only"])
def test_the_leak_would_be_seen(architecture, objective):
    for number in range(6):  # of a mixture, a row that fills in has nothing to hide
        hidden, reach, _ = influence(architecture, objective, USUAL, leak=True, number=number)
        if not hidden.any():
            pytest.skip("its source shows every token, in another order")
        if (reach[hidden] > 0).any():
            return
    raise AssertionError("everything sees everything, and nothing hidden reaches a target")


def test_masked_tokens_leave_no_trace_in_the_input():
    """The negative control of the encoder: what is corrupted is not in its input, and would be seen if it were."""
    config = tiny_config(model__architecture="encoder_only", objective="masked_lm", objective__mask_share=0.5,
                         objective__random_share=0.5)
    window = toy_window(8, 32)
    changed = toy_window(8, 32)
    first = config.objective.prepare(window, toy_vocabulary(), Seeds(0))
    corrupted = first.loss_weights > 0
    changed.tokens[:, :-1][corrupted] = 63
    second = config.objective.prepare(changed, toy_vocabulary(), Seeds(0))
    np.testing.assert_array_equal(first.tokens, second.tokens)
    changed.tokens[:, :-1][~corrupted] = 63
    assert (config.objective.prepare(changed, toy_vocabulary(), Seeds(0)).tokens != first.tokens).any()


LEARN = [case for case in CASES if case[:2] in (SOME if case[2] == USUAL else POSITIONS_LEARN_IN)]


@pytest.mark.parametrize(("architecture", "objective", "position"), LEARN, ids=map(ids, LEARN))
def test_loss_falls(architecture, objective, position):
    # One block without biases: fewer parameters compile faster. The initial loss is that of a guess.
    config = tiny_config(model__architecture=architecture, objective=objective, model__position=position,
                         model__depth=1, **WITHOUT_BIASES)
    losses = toy_losses(config)
    assert np.isfinite(losses).all()
    parts = config.objective.loss_weights(toy_model(config), toy_batch(config))
    guess = sum(config.objective.scales.get(part, 1.0) * np.log(CHOICES[part]) for part in parts if part in CHOICES)
    assert abs(losses[0] / guess - 1) < 0.12
    assert losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize(("architecture", "objective"), SOME, ids=map(ids, SOME))
def test_documents_that_share_a_window_do_not_see_each_other(architecture, objective):
    """The gradient of every loss in one document by the embeddings of the other is zero, and non-zero where both are
    given as one document.
    """
    config = tiny_config(model__architecture=architecture, objective=objective, batch_size=1, model__depth=1)
    batch = padded(toy_batch(config), 2 * config.data.length)
    start, gradient, _ = of_embeddings(toy_model(config), config.model.architecture.visibility)
    variables = drawn_variables(start, batch)

    def across(given):
        """The largest gradient of the losses in one document by embeddings in the other, when `given` is read."""
        segments, largest = batch.stream.segment_ids, 0.0
        if batch.loss_positions is not None:
            segments = np.take_along_axis(segments, batch.loss_positions, axis=1)
        for document in (1, 2):
            weights = batch.loss_weights * (segments == document)
            found = gradient(*variables, given.replace(loss_weights=weights))
            for name, by_embedding in found["embedding"].items():
                theirs = getattr(batch, name).segment_ids
                other = (theirs != document) & (theirs != 0)
                largest = max(largest, np.abs(np.asarray(by_embedding)[other]).max(initial=0))
        return largest

    def one_document(stream):
        return stream and stream.replace(segment_ids=np.minimum(stream.segment_ids, 1))

    assert across(batch) == 0.0
    if batch.stream.segment_ids.max() == 1 and batch.source is None:
        origin = batch.stream.origin[0][batch.stream.origin[0] >= 0]
        segments = toy_window(1, config.data.length).segment_ids[0, origin]
        assert len(set(segments)) == 1, "a row that is given as one document has text of two that share the window"
        return
    assert across(batch.replace(stream=one_document(batch.stream), source=one_document(batch.source))) > 0.0
