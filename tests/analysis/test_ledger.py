"""The ledger of a run: what it says before the run is what is counted in it. FLOPs are in tests/test_flops.py."""

import functools

import jax
import numpy as np
import pytest

from arch_zoo.analysis.ledger import Ledger, make_ledger
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.abstract import count_parameters
from arch_zoo.registry import ARCHITECTURES, POSITIONS
from tests.toy import compatible_pairs, plain_pairs, tiny_config, toy_batch, toy_model, toy_vocabulary

PAIRS = compatible_pairs()
IDS = ["-".join(pair) for pair in PAIRS]
OBJECTIVE_OF = dict(reversed(plain_pairs()))
# How many targets there are is a matter of chance, or of how sentences fall, so the ledger is a bound.
PADDED = ("gap_sentences", "iid_spans", "ul2", "next_sentence", "sentence_order", "whole_sentences", "mixture",
          "noncausal_lm")


def config_of(architecture, objective=None, **changes):
    return tiny_config(model__architecture=architecture, objective=objective or OBJECTIVE_OF[architecture],
                       model__scan=True, **changes)


@functools.cache
def ledger_of(*pair, **changes) -> Ledger:
    return make_ledger(config_of(*pair, **changes), toy_vocabulary())


def arrays(config):
    """The parameters of a run, allocated."""
    batch, model = toy_batch(config), toy_model(config)
    return jax.jit(lambda: model.init(jax.random.key(0), batch, Visibility.CAUSAL, train=False)["params"])()


def test_no_device_is_given_anything_to_compute():
    """On a GPU the first thing takes most of its memory, from the cells whose costs are looked up here."""
    config = config_of("encoder_decoder")
    with jax.transfer_guard("disallow_explicit"):
        make_ledger(config, toy_vocabulary())
        count_parameters.__wrapped__(config.model, 300)
        with pytest.raises(jax.errors.JaxRuntimeError, match="[Dd]isallowed"):
            jax.random.key(0)


@pytest.mark.parametrize("architecture", ARCHITECTURES.names())
def test_params_are_those_of_the_real_model(architecture):
    config = config_of(architecture, model__tied_embeddings=False, model__encoder_depth=1)
    real = arrays(config)
    entries = [real[name] for name in real if name.endswith("entry")]
    tables = sum(table.size for part in (real["embedding"], real["head"], *entries) for table in part.values())
    ledger = make_ledger(config, toy_vocabulary())
    assert ledger.params == sum(np.asarray(leaf).size for leaf in jax.tree.leaves(real))
    assert ledger.non_embedding_params == ledger.params - tables
    assert tables == 64 * 16 * 2 + len(entries) * 512 * 16  # tokens in and out, positions of each stream
    assert len(entries) == (2 if architecture == "encoder_decoder" else 1)


def test_params_by_hand():
    """Width 16, feed-forward 64, two blocks, tied, rotary."""
    attention, feed_forward, norm = 4 * (16 * 16 + 16), 16 * 64 + 64 + 64 * 16 + 16, 2 * 16
    ledger = ledger_of("decoder_only", model__position="rotary")
    assert ledger.non_embedding_params == 2 * (attention + feed_forward + 2 * norm) + norm
    assert ledger.params - ledger.non_embedding_params == 64 * 16
    assert ledger_of("encoder_decoder", model__position="rotary").non_embedding_params == \
           2 * ledger.non_embedding_params + 2 * (attention + norm)


@pytest.mark.parametrize("position", POSITIONS.names())
def test_only_tables_of_vectors_are_embeddings(position):
    """Position tables count as embeddings, biases of attention do not, nor the norm behind the embeddings."""
    ledger, plain = (ledger_of("decoder_only", model__position=name, model__embedding_norm=True)
                     for name in (position, "none"))
    extra = ledger.params - plain.params
    assert ledger.non_embedding_params - plain.non_embedding_params == \
        (extra if position in ("t5_bias", "transformer_xl") else 0)
    assert plain.params - plain.non_embedding_params == 64 * 16


def test_a_larger_table_than_the_tokenizers_counts():
    small, large = ledger_of("decoder_only"), ledger_of("decoder_only", model__vocab_size=100)
    assert large.params - small.params == (100 - 64) * 16
    assert large.non_embedding_params == small.non_embedding_params
    assert large.flops > small.flops


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=IDS)
def test_tokens_are_those_in_the_batches(architecture, objective):
    """Where no document begins inside a window, the weights of the losses sum to exactly what the ledger says."""
    config = config_of(architecture, objective, steps=3)
    batches = [toy_batch(config, first=8 * step, documents=False) for step in range(3)]
    ledger = make_ledger(config, toy_vocabulary())
    loss_tokens = sum(batch.loss_weights.sum() for batch in batches)  # masked diffusion's weights are not 0 or 1
    if objective in PADDED:
        assert loss_tokens < ledger.loss_tokens
    else:
        assert loss_tokens == pytest.approx(ledger.loss_tokens)
    assert ledger.tokens == sum(len(batch.example_ids) * config.data.length for batch in batches)
    assert ledger.steps == 3

    broken = [toy_batch(config, first=8 * step) for step in range(3)]
    in_broken = sum(batch.loss_weights.sum() for batch in broken)
    assert 0.7 * loss_tokens < in_broken <= ledger.loss_tokens * 1.00001  # else at most so many
    assert in_broken < ledger.loss_tokens or objective == "span_corruption"


def test_the_objectives_do_not_have_the_same_share_of_tokens_with_loss():
    shares = {pair: ledger_of(*pair).loss_tokens / ledger_of(*pair).tokens for pair in plain_pairs()}
    assert shares["decoder_only", "causal_lm"] == 1.0
    assert shares["prefix_decoder", "prefix_lm"] == 0.5
    assert shares["encoder_only", "masked_lm"] == round(0.15 * 32) / 32
    assert shares["encoder_decoder", "span_corruption"] == (5 + 2 + 1) / 32


def test_costs_grow_with_steps_and_batch_and_parameters_do_not():
    base, longer, wider = (ledger_of("decoder_only", **changes) for changes in
                           ({}, {"steps": 40}, {"batch_size": 16}))
    for more in (longer, wider):
        assert (more.flops, more.tokens, more.loss_tokens) == (2 * base.flops, 2 * base.tokens, 2 * base.loss_tokens)
        assert (more.params, more.flops_per_token) == (base.params, base.flops_per_token)
