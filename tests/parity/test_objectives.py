"""Losses of several parts against the reference classes: the same weights and the same rows give the same loss."""

import jax
import numpy as np
import pytest

from arch_zoo.interop.huggingface import import_checkpoint
from arch_zoo.models.architecture import make_batch, make_stream
from arch_zoo.objectives.electra import Electra, draw, put
from arch_zoo.objectives.next_sentence import NextSentence
from arch_zoo.objectives.sentence_order import SentenceOrder
from tests.parity.cases import BY_NAME, ENCODER, VOCABULARY, make_case
from tests.parity.reference import build, rows, save, torch

pytestmark = pytest.mark.parity
IGNORED = -100  # the label of tokens that carry no loss


def batch_and_labels(given, answers):
    """(our batch, the reference's labels): some random targets, more of them in the first row than in the second."""
    rng = np.random.default_rng(1)
    weights = (rng.random(given["input_ids"].shape) < [[0.5], [0.3]]) * given["attention_mask"]
    targets = rng.integers(3, VOCABULARY, weights.shape)
    ids = given["input_ids"]
    stream = make_stream(ids, given["attention_mask"], np.full_like(ids, -1), types=given["token_type_ids"])
    most = int(weights.sum(axis=1).max())
    assert len(set(weights.sum(axis=1))) == 2
    batch = make_batch(stream, None, targets, targets, weights, np.arange(2), most, np.array(answers))
    return batch, torch.from_numpy(np.where(weights > 0, targets, IGNORED))


def tensors(given):
    return {name: torch.from_numpy(value) for name, value in given.items()}


@pytest.mark.parametrize(("name", "objective", "label"), [("bert", NextSentence(), "next_sentence_label"),
                                                          ("albert", SentenceOrder(), "sentence_order_label")])
@pytest.mark.parametrize("answers", [(0, 1), (1, 1), (1, 0)], ids=str)
def test_sentence_losses(name, objective, label, answers, tmp_path):
    """The reference's total is the sum of both means, and its answers mean what ours do."""
    case = BY_NAME[name]
    reference = build(case)
    ours = import_checkpoint(save(reference, tmp_path / "theirs"))
    given = rows(case)
    batch, labels = batch_and_labels(given, answers)
    assert objective.model_refusal(ours.model) is None
    module = objective.build(ours.model, ours.model.vocab_size, "float32")
    visibility = ours.model.architecture.visibility
    total, weight = jax.jit(lambda p, b: objective.loss(module, p, b, visibility, train=False))(ours.parameters, batch)
    with torch.no_grad():
        theirs = reference(**tensors(given), labels=labels, **{label: torch.tensor(answers)}).loss
        swapped = reference(**tensors(given), labels=labels, **{label: 1 - torch.tensor(answers)}).loss
    np.testing.assert_allclose(total / weight, theirs.item(), rtol=1e-5)
    assert abs(swapped.item() - theirs.item()) > 1e-3 * theirs.item()


# Widths of 24 and 12, as generator_config makes them of a share of one half.
_SIZES = {"num_hidden_layers": 2, "max_position_embeddings": 32, "embedding_size": 10}
DISCRIMINATOR = make_case("discriminator", ENCODER, "Electra", "ElectraForPreTraining", hidden_size=24,
                          num_attention_heads=4, intermediate_size=40, **_SIZES)
GENERATOR = make_case("generator", ENCODER, "Electra", "ElectraForMaskedLM", hidden_size=12, num_attention_heads=2,
                      intermediate_size=20, **_SIZES)


def pair_of(tmp_path):
    """(the reference's discriminator and generator, which share embeddings; our model; our parameters of both)."""
    discriminator, generator = build(DISCRIMINATOR), build(GENERATOR, seed=1)
    generator.electra.embeddings.load_state_dict(discriminator.electra.embeddings.state_dict())
    ours = import_checkpoint(save(discriminator, tmp_path / "discriminator"))
    small = import_checkpoint(save(generator, tmp_path / "generator"))
    model = ours.model.replace(head_transform=True, logits_bias=True)  # of the generator: the model has no such head
    own = {"projection": small.parameters["entry"]["projection"], "stack": small.parameters["stack"],
           "head": small.parameters["head"]}
    return discriminator, generator, model, ours.parameters | {"generator": own}


def test_electras_losses(tmp_path):
    discriminator, generator, model, parameters = pair_of(tmp_path)
    objective = Electra(generator_share=0.5)
    assert objective.model_refusal(model) is None
    given = rows(DISCRIMINATOR)
    batch, labels = batch_and_labels(given, (-1, -1))
    module, visibility = objective.build(model, VOCABULARY, "float32"), model.architecture.visibility
    made = jax.eval_shape(lambda key: module.init(key, batch, visibility, train=False)["params"], jax.random.key(0))
    assert jax.tree.map(np.shape, made) == jax.tree.map(np.shape, parameters)
    key = jax.random.key(3)

    @jax.jit
    def losses(parameters):
        logits = module.apply({"params": parameters}, batch, visibility, train=False)
        drawn = draw(logits, jax.random.fold_in(key, 1), batch)
        return drawn, objective.losses(module, parameters, batch, visibility, train=False, rngs={"dropout": key})[0]

    drawn, found = losses(parameters)
    weights = objective.loss_weights(module, batch)
    read = np.asarray(put(given["input_ids"], batch, drawn), np.int64)
    replaced = np.asarray(read != put(given["input_ids"], batch, batch.targets), np.int64)
    assert 0 < replaced.sum() <= batch.loss_weights.sum()
    with torch.no_grad():
        of_generator = generator(**tensors(given), labels=labels).loss.item()
        of_discriminator = discriminator(**tensors(given | {"input_ids": read}), labels=torch.from_numpy(replaced)).loss
    np.testing.assert_allclose(found["vocabulary"] / weights["vocabulary"], of_generator, rtol=1e-5)
    np.testing.assert_allclose(found["replaced"] / weights["replaced"], of_discriminator.item(), rtol=1e-5)
    joined = objective.joined(found, weights) / weights["vocabulary"]
    np.testing.assert_allclose(joined, of_generator + 50 * of_discriminator.item(), rtol=1e-5)
