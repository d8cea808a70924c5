"""ELECTRA: what is shared, what is drawn, what each model learns from, in all variants of the paper's Table 5."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from arch_zoo.errors import UserError
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.models.electra_pair import generator_config
from arch_zoo.objectives.electra import copying_cross_entropy, draw, put
from tests.test_flops import by_formula, counted
from tests.toy import (
    SIZE,
    WITHOUT_BIASES,
    abstract_parameters,
    drawn,
    tiny_config,
    toy_batch,
    toy_losses,
    toy_model,
    toy_vocabulary,
)

VARIANTS = [("replaced", "everywhere"), ("replaced", "corrupted"), ("original", "corrupted"),
            ("original", "everywhere")]


def config_of(predicts="replaced", where="everywhere", **changes):
    heads = {"model__vocabulary_head": predicts == "original",
             "model__discriminator": predicts == "replaced" or where == "everywhere",
             **WITHOUT_BIASES}
    return tiny_config(model__architecture="encoder_only", objective="electra", objective__predicts=predicts,
                       objective__where=where, model__depth=1, **heads | changes)


@functools.cache
def made(predicts="replaced", where="everywhere"):
    config = config_of(predicts, where)
    model, batch, visibility = toy_model(config), toy_batch(config), config.model.architecture.visibility
    return config, model, batch, visibility, drawn(abstract_parameters(config), 0.2)


# --- two models --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("changes", [{}, {"embedding_dim": 12}, {"embedding_dim": 4}], ids=str)
def test_the_model_is_the_one_that_it_would_be_alone_and_the_generator_has_no_embeddings(changes):
    config = config_of(**{f"model__{name}": value for name, value in changes.items()})
    batch, visibility = toy_batch(config), config.model.architecture.visibility
    alone = config.model.architecture.build(config.model, SIZE, "float32")
    pair, single = (jax.jit(lambda m=m: m.init(jax.random.key(0), batch, visibility, train=False)["params"])()
                    for m in (toy_model(config), alone))
    jax.tree.map(np.testing.assert_array_equal, config.objective.kept(pair), single)
    assert pair.keys() - single.keys() == {"generator"}
    small = generator_config(config.model, 0.25)
    assert (small.width, small.heads, small.size_of_mlp, small.depth) == (4, 1, 16, 1)
    # of the embeddings' size it needs no projection, neither in nor out
    projections = set() if changes.get("embedding_dim") == 4 else {"projection", "head"}
    assert set(pair["generator"]) == {"stack"} | projections
    apply = jax.jit(lambda m, p: m.apply({"params": p}, batch, visibility, train=False, method="hidden"),
                    static_argnums=0)
    np.testing.assert_array_equal(apply(toy_model(config), pair), apply(alone, single))


def test_each_part_of_the_loss_trains_its_own_model_and_the_embeddings():
    config, model, batch, visibility, parameters = made()

    def part(parameters, name):
        return config.objective.losses(model, parameters, batch, visibility, train=False)[0][name]

    gradients = jax.jit(lambda parameters: [jax.grad(part)(parameters, name) for name in ("vocabulary", "replaced")])
    for grads, ours, others in zip(gradients(parameters), ("generator", "stack"),
                                   (("stack", "discriminator"), ("generator",)), strict=True):
        size = {module: max(float(jnp.abs(g).max()) for g in jax.tree.leaves(of)) for module, of in grads.items()}
        assert size[ours] > 0 and size["embedding"] > 0 and size["entry"] > 0
        assert not any(size[other] for other in others)


@pytest.mark.parametrize(("changes", "message"), [
    ({"model__discriminator": False}, "needs model.vocabulary_head=False and model.discriminator=True"),
    ({"model__vocabulary_head": True}, "the generator has a vocabulary head of its own"),
    ({"predicts": "original", "where": "corrupted", "model__vocabulary_head": False}, "model.vocabulary_head=True and"),
    ({"model__embedding_dim": 8, "model__embedding_projection": "tokens"}, "needs model.embedding_projection=sum"),
])
def test_models_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        config_of(**changes)


# --- draws -------------------------------------------------------------------------------------------------------

def test_draws_follow_the_generator_and_belong_to_their_example():
    logits_bnv = 2 * jax.random.normal(jax.random.key(0), (8, 1, 6)).repeat(4000, axis=1)
    batch = toy_batch(config_of())
    tokens = np.asarray(draw(logits_bnv, jax.random.key(1), batch))
    for row, p in zip(tokens, np.asarray(jax.nn.softmax(logits_bnv[:, 0])), strict=True):
        p = p.astype(float) / p.sum(dtype=float)
        assert stats.chisquare(np.bincount(row, minlength=6), 4000 * p).pvalue > 1e-3
    part = batch.replace(example_ids=batch.example_ids[3:5])
    np.testing.assert_array_equal(draw(logits_bnv[3:5], jax.random.key(1), part), tokens[3:5])
    assert (np.asarray(draw(logits_bnv, jax.random.key(2), batch)) != tokens).mean() > 0.3


def test_only_what_carries_loss_is_replaced():
    config = config_of(objective__rate=0.3)
    batch = toy_batch(config)
    assert (batch.loss_weights == 0).any()  # documents' ends make rows with a place to spare
    replaced = put(batch.stream.tokens, batch, np.full(batch.targets.shape, 77))
    places = np.zeros(batch.stream.tokens.shape, bool)
    for row, (positions, weights) in enumerate(zip(batch.loss_positions, batch.loss_weights, strict=True)):
        places[row, positions[weights > 0]] = True
    np.testing.assert_array_equal(np.asarray(replaced) == 77, places)
    np.testing.assert_array_equal(places, batch.stream.tokens == toy_vocabulary().mask_id)
    everywhere = batch.replace(loss_positions=None, targets=batch.stream.tokens, loss_weights=places.astype(np.float32))
    np.testing.assert_array_equal(put(batch.stream.tokens, everywhere, np.full(places.shape, 77)), replaced)


# --- losses ------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize(("predicts", "where"), VARIANTS)
def test_losses_are_those_of_the_tokens_that_were_drawn(predicts, where):
    """Row by row in NumPy, from the logits of both models."""
    config, model, batch, visibility, parameters = made(predicts, where)
    key = jax.random.key(5)
    objective = config.objective

    @jax.jit
    def losses(parameters):
        return objective.losses(model, parameters, batch, visibility, train=True, rngs={"dropout": key})

    found, right = losses(parameters)
    apply = jax.jit(lambda batch, method=None: model.apply({"params": parameters}, batch, visibility, train=False,
                                                           method=method), static_argnums=1)
    logits = apply(batch)
    sampled = np.asarray(put(batch.stream.tokens, batch, draw(logits, jax.random.fold_in(key, 1), batch)))
    original = np.asarray(put(batch.stream.tokens, batch, batch.targets))
    masked = cross_entropy(logits, batch.targets) * batch.loss_weights
    np.testing.assert_allclose(found["vocabulary"], masked.sum(), rtol=1e-5)
    read = batch.replace(stream=batch.stream.replace(tokens=sampled), loss_positions=None)
    real, changed = batch.stream.segment_ids > 0, sampled != original
    corrupted = batch.stream.tokens == toy_vocabulary().mask_id
    assert 0 < changed.sum() < corrupted.sum()  # a draw that is right counts as original
    chosen = real if where == "everywhere" else corrupted
    if predicts == "replaced":
        p = jax.nn.sigmoid(apply(read, "replaced"))
        p_right = np.where(changed, p, 1 - p)
        hits = (p > 0.5) == changed
    else:
        logits, told = apply(read, "restored")
        p_right = np.exp(-np.asarray(cross_entropy(logits, original)))
        hits = np.asarray(logits).argmax(axis=-1) == original
        if where == "everywhere":
            r = np.asarray(jax.nn.sigmoid(told))
            p_right = r * p_right + (1 - r) * (sampled == original)
            hits = np.where(r > 0.5, hits, sampled == original)
    np.testing.assert_allclose(found[predicts], -np.log(p_right)[chosen].sum(), rtol=1e-4)
    assert right[predicts] == hits[chosen].sum()
    weights = objective.loss_weights(model, batch)
    assert (weights[predicts], weights["vocabulary"]) == (chosen.sum(), corrupted.sum())
    total, weight = objective.joined(found, weights), weights["vocabulary"]
    means = found["vocabulary"] / corrupted.sum(), found[predicts] / chosen.sum()
    np.testing.assert_allclose(total / weight, means[0] + 50 * means[1], rtol=1e-5)


def test_copying_gives_a_distribution():
    logits = jax.random.normal(jax.random.key(0), (2, 3, 6))
    told, read = jax.random.normal(jax.random.key(1), (2, 3)), jnp.array([[0, 1, 2], [3, 4, 5]])
    p = [jnp.exp(-copying_cross_entropy(logits, told, read, jnp.full((2, 3), token))) for token in range(6)]
    np.testing.assert_allclose(sum(p), 1, rtol=1e-5)
    sure = copying_cross_entropy(logits, jnp.full((2, 3), -30.0), read, read)
    np.testing.assert_allclose(sure, 0, atol=1e-5)
    grads = jax.grad(lambda told: copying_cross_entropy(logits, told, read, (read + 1) % 6).sum())(told)
    assert jnp.isfinite(grads).all()


def test_a_row_without_corrupted_tokens_is_not_learnt_from():
    config, model, batch, *_ = made()
    keep = np.arange(8) < 3
    half = batch.replace(loss_weights=batch.loss_weights * keep[:, None])
    real = (batch.stream.segment_ids > 0).sum(axis=1)
    assert config.objective.loss_weights(model, half)["replaced"] == real[keep].sum() < real.sum()


def test_all_tokens_mlm_learns():
    losses = toy_losses(config_of("original", "everywhere", objective__weight=1.0))
    assert np.isfinite(losses).all() and losses[-1] < losses[0] - 0.3


@pytest.mark.parametrize("changes", [{}, {"model__embedding_dim": 12, "model__kv_heads": 1,
                                          "model__head_transform": True, "objective__generator_share": 0.5}], ids=str)
@pytest.mark.parametrize(("predicts", "where"), VARIANTS)
def test_the_formula_of_flops_is_the_jaxpr(predicts, where, changes):
    config = config_of(predicts, where, **changes)
    assert by_formula(config) == counted(config)
    if predicts == "original":
        everywhere, corrupted = (dataclasses.replace(config.objective, where=w) for w in ("everywhere", "corrupted"))
        assert everywhere.forward_flops(config.model, SIZE, 32) > 2 * corrupted.forward_flops(config.model, SIZE, 32) \
            - everywhere.forward_flops(config.model, SIZE, 32)


def test_texts_are_scored_by_the_generator():
    config, model, _, visibility, parameters = made()
    scorer = Scorer(config.model.architecture, model, parameters, toy_vocabulary())
    rows = config.objective.plausibility([30, 31], [40, 41, 42], toy_vocabulary())
    before = scorer.scores([rows])
    scorer.parameters = parameters | {"stack": jax.tree.map(jnp.zeros_like, parameters["stack"])}
    np.testing.assert_array_equal(scorer.scores([rows]), before)
    scorer.parameters = parameters | {"generator": jax.tree.map(jnp.zeros_like, parameters["generator"])}
    assert scorer.scores([rows]) != before
