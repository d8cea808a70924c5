"""Multi-token prediction: what each head predicts, from what, and a next-token path that is a causal LM's."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.objectives.multi_token import MultiToken
from tests.toy import tiny_config, toy_batch, toy_model

HEADS = 3


@functools.cache
def made():
    """(config, model, batch, variables far from the initial ones)"""
    config = tiny_config(objective="multi_token", model__future_heads=HEADS - 1, model__activation="gelu_tanh",
                         model__position="rotary", model__depth=1, batch_size=1)
    model, batch, visibility = toy_model(config), toy_batch(config), config.model.architecture.visibility
    variables = jax.jit(lambda: model.init(jax.random.key(0), batch, visibility, train=False))()
    noisy = jax.tree.map(lambda p: p + 0.3 * jax.random.normal(jax.random.key(1), p.shape), variables["params"])
    return config, model, batch, variables | {"params": noisy}


def logits_of(model, variables, batch, config):
    return np.asarray(jax.jit(lambda v, b: future_logits(model, v, b, config))(variables, batch))


def future_logits(model, variables, batch, config):
    projected = model.apply(variables, batch, config.model.architecture.visibility, train=False,
                            method="all_projected")
    return jnp.stack([head.logits() for head in projected])


def test_the_loss_is_that_of_a_loop_over_the_drawing():
    config, model, batch, variables = made()
    log_p = jax.nn.log_softmax(logits_of(model, variables, batch, config), axis=-1)
    total = count = crossing = 0
    tokens, documents = [*batch.stream.tokens[0], batch.targets[0, -1]], batch.stream.segment_ids[0]
    for head in range(HEADS):
        for i in range(32 - head):
            target = i + 1 + head
            if documents[i] != documents[target - 1] or tokens[target] == 2:  # a BOS begins the next one
                crossing += 1
                continue
            total -= log_p[head, 0, i, tokens[target]] / HEADS
            count += 1 / HEADS
    assert crossing == 1 + 2 + 3
    loss, weight = jax.jit(lambda p: config.objective.loss(model, p, batch, config.model.architecture.visibility,
                                                           train=False))(variables["params"])
    np.testing.assert_allclose([loss, weight], [total, count], rtol=1e-5)
    assert weight < batch.loss_weights.sum() <= config.objective.loss_positions(32)
    assert "tokens   a b c d e\n        targets  b c d e f" in MultiToken.__doc__


def test_no_head_sees_what_it_predicts():
    config, model, batch, variables = made()

    @jax.jit
    @jax.jacrev
    def reach(perturbations):
        logits = future_logits(model, variables | {"perturbations": perturbations}, batch, config)
        return jax.nn.logsumexp(logits[:, 0], axis=-1)

    by_embedding = np.abs(reach(variables["perturbations"])["embedding"]["stream"][:, :, 0]).max(axis=-1)
    documents = batch.stream.segment_ids[0]
    may = np.tril(documents[:, None] == documents[None])
    for head in range(HEADS):
        np.testing.assert_array_equal(by_embedding[head] > 0, may)


def test_heads_differ_and_the_next_token_is_read_as_in_a_causal_lm():
    config, model, batch, variables = made()
    logits = logits_of(model, variables, batch, config)
    visibility = config.model.architecture.visibility
    next_token = jax.jit(lambda v: model.apply(v, batch, visibility, train=False))(variables)
    np.testing.assert_allclose(next_token, logits[0], rtol=1e-4, atol=1e-5)
    assert min(np.abs(logits[a] - logits[b]).max() for a in range(HEADS) for b in range(a)) > 0.1
    causal = config.replace(objective="causal_lm", model=config.model.replace(future_heads=0))
    fresh, plain = (jax.jit(lambda m=m: m.init(jax.random.key(0), batch, visibility, train=False)["params"])()
                    for m in (model, toy_model(causal)))
    assert set(fresh) - set(plain) == {"future_0", "future_1"}
    for name in plain:
        jax.tree.map(np.testing.assert_array_equal, fresh[name], plain[name])


@pytest.mark.parametrize(("changes", "message"), [
    ({"objective": "multi_token", "model__future_heads": 0}, "objective=multi_token: it trains model.future_heads"),
    ({"objective": "causal_lm", "model__future_heads": 1}, "objective=causal_lm: it does not train model.future_heads"),
    ({"objective": "multi_token", "model__architecture": "encoder_only"}, "each target stands in the input"),
])
def test_heads_that_nothing_trains_and_an_objective_without_heads_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        tiny_config(**changes)
