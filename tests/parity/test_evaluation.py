"""Scores of tasks against transformers, item by item: of imported models, and of models trained here and exported."""

import dataclasses
import json

import numpy as np
import pytest

from arch_zoo.config import DataConfig, RunConfig
from arch_zoo.interop.huggingface import export_checkpoint, import_checkpoint
from arch_zoo.tasks.base import Subject
from arch_zoo.tasks.blimp import Blimp
from arch_zoo.tasks.lambada import Lambada
from arch_zoo.tasks.multiple_choice import MultipleChoice
from arch_zoo.training.trained import TrainedRun
from tests.evaluation.toy_text import ToyTokenizer, lines, spell
from tests.parity.cases import BOTH, DECODER, ENCODER, make_case
from tests.parity.reference import build, descended, save, torch, transformers
from tests.toy import ORDINARY, SIZE, tiny_config, toy_vocabulary

pytestmark = pytest.mark.parity
PAD, BOS, EOS, MASK, FIRST, SECOND = 0, 2, 3, 4, 5, 6
_SIZES = {"vocab_size": SIZE, "bos_token_id": BOS, "eos_token_id": EOS}
CASES = {
    "gpt2": make_case("gpt2", DECODER, "GPT2", "GPT2LMHeadModel", n_positions=32, n_embd=24, n_layer=2, n_head=3,
                      **_SIZES),
    "bert": make_case("bert", ENCODER, "Bert", "BertForMaskedLM", hidden_size=24, num_hidden_layers=2,
                      num_attention_heads=3, intermediate_size=40, max_position_embeddings=32, **_SIZES),
    "t5": make_case("t5", BOTH, "T5", "T5ForConditionalGeneration", d_model=24, d_kv=8, d_ff=40, num_layers=2,
                    num_heads=3, relative_attention_num_buckets=8, decoder_start_token_id=PAD, **_SIZES)}
OBJECTIVES = {"gpt2": "causal_lm", "bert": "masked_lm", "t5": "span_corruption"}
HERE = {
    "gpt2": ("decoder_only", {}),
    "bert": ("encoder_only", {"placement": "post", "embedding_norm": True, "head_transform": True, "logits_bias": True,
                              "token_types": 2, "activation": "gelu"}),
    "t5": ("encoder_decoder", {"position": "t5_bias", "norm": "rms_norm", "attention_bias": False, "mlp_bias": False,
                               "scale_attention": False, "activation": "relu"})}
PLACES = [(kind, origin) for kind in CASES for origin in ("imported", "trained_here")]


def vocabulary_of(kind: str):
    """T5 has no BOS, and its decoder begins with padding; ours begins with BOS."""
    return {"imported": dataclasses.replace(toy_vocabulary(), bos_id=None, decoder_start_id=PAD) if kind == "t5" else
            toy_vocabulary(), "trained_here": toy_vocabulary()}


@pytest.fixture(scope="module", params=PLACES, ids="-".join)
def both(request, tmp_path_factory):
    """(kind, the reference's model, ours as tasks ask it)."""
    kind, origin = request.param
    home = tmp_path_factory.mktemp("parity")
    vocabulary = vocabulary_of(kind)[origin]
    if origin == "imported":
        reference = build(CASES[kind])
        ours = import_checkpoint(save(reference, home / "theirs"))
        config = RunConfig(model=ours.model, objective=OBJECTIVES[kind], data=DataConfig(length=16))
        parameters = ours.parameters
    else:
        config, parameters = trained_here(kind)
        export_checkpoint(home / "ours", config.model, parameters, special_ids={"pad_token_id": PAD})
        name = json.loads((home / "ours" / "config.json").read_text())["architectures"][0]
        reference = getattr(transformers, name).from_pretrained(home / "ours", attn_implementation="eager").eval()
    model = config.model.architecture.build(config.model, SIZE, "float32")
    run = TrainedRun(home, config, ToyTokenizer(vocabulary), model, parameters)
    return kind, reference, Subject.of(run)


def trained_here(kind: str):
    """A model after a few steps of gradient descent."""
    architecture, options = HERE[kind]
    config = tiny_config(model__architecture=architecture, objective=OBJECTIVES[kind], data__length=16,
                         **{f"model__{name}": value for name, value in options.items()})
    config = config.replace(model=config.model.replace(vocab_size=SIZE))
    return config, descended(config, steps=10, rate=1.0)[0]


# --- the reference's scores, one unpadded row at a time -----------------------------------------------------------

def log_p(model, **given) -> np.ndarray:
    """[t, v] of a row."""
    with torch.no_grad():
        logits = model(**{name: torch.tensor([ids]) for name, ids in given.items()}).logits[0]
    return torch.log_softmax(logits.double(), dim=-1).numpy()


def after(model, subject, source, target, scored) -> tuple[float, bool]:
    """(log p of the `scored` positions of what a decoder of two stacks writes, whether they are the likeliest)."""
    found = log_p(model, input_ids=source, decoder_input_ids=[subject.vocabulary.start_id, *target[:-1]])
    return (float(sum(found[i, target[i]] for i in scored)),
            all(found[i].argmax() == target[i] for i in scored))


def left_to_right(kind, model, subject, context, text) -> tuple[float, bool]:
    bos = [] if subject.vocabulary.bos_id is None else [BOS]
    if kind == "t5":
        return after(model, subject, [*bos, *context, FIRST], [FIRST, *text], range(1, 1 + len(text)))
    stream, start = [*bos, *context, *text], len(bos) + len(context)
    found = log_p(model, input_ids=stream)
    places = range(start, len(stream))
    return (float(sum(found[i - 1, stream[i]] for i in places)),
            all(found[i - 1].argmax() == stream[i] for i in places))


def words(text):
    """Spans of words: ids that three divides begin one, and so does the first."""
    starts = [i for i, token in enumerate(text) if i == 0 or token % 3 == 0]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def one_at_a_time(kind, model, subject, context, text, within_words=False) -> float:
    bos, total = ([] if subject.vocabulary.bos_id is None else [BOS]), 0.0
    for start, end in words(text):
        if kind == "t5":
            source = [*bos, *context, *text[:start], FIRST, *text[end:], EOS]
            total += after(model, subject, source, [FIRST, *text[start:end], SECOND], range(1, 1 + end - start))[0]
            continue
        for i in range(start, end):
            gone = end if within_words else i + 1
            stream = [BOS, *context, *text[:i], *[MASK] * (gone - i), *text[gone:], EOS]
            total += log_p(model, input_ids=stream)[1 + len(context) + i, text[i]]
    return float(total)


def sentences(count, seed, lengths=(5, 7)):
    """Of two lengths that share one padded length, so that few programs are compiled."""
    rng = np.random.default_rng(seed)
    return [rng.integers(ORDINARY, SIZE, rng.integers(*lengths)).tolist() for _ in range(count)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """(file, the good and the bad sentences)."""
    good, bad = sentences(12, 0), sentences(12, 1)
    path = lines(tmp_path_factory.mktemp("pairs") / "blimp.jsonl", *(
        {"sentence_good": spell(a), "sentence_bad": spell(b), "UID": "ab"[n % 2]}
        for n, (a, b) in enumerate(zip(good, bad, strict=True))))
    return path, good, bad


@pytest.mark.parametrize("is_trained", [True, False], ids=["trained", "other"])
def test_blimp(both, pairs, is_trained):
    """Masked models have no likelihood from left to right; the others have one form of what they are trained with."""
    kind, model, subject = both
    likelihood = "trained" if is_trained else {"bert": "within_words"}.get(kind, "left_to_right")
    path, *sides = pairs

    def theirs(text):
        if kind == "gpt2" or likelihood == "left_to_right":
            return left_to_right(kind, model, subject, [], text)[0]
        return one_at_a_time(kind, model, subject, [], text, likelihood == "within_words")

    expected = {spell(text): theirs(text) for side in sides for text in side}
    outcome = Blimp(data=path, likelihood=likelihood).run(subject)
    for sample in outcome.samples:
        found = [nats for nats, _ in sample["resps"]]
        wanted = [expected[sample["doc"][name]] for name in ("sentence_good", "sentence_bad")]
        np.testing.assert_allclose(found, wanted, rtol=1e-5)
        assert sample["acc"] == float(wanted[0] > wanted[1])
    assert np.ptp(list(expected.values())) > 1  # the comparison can fail
    assert outcome.values["acc"].value == pytest.approx(np.mean([sample["acc"] for sample in outcome.samples]))


def test_lambada(both, tmp_path):
    kind, model, subject = both
    if kind == "bert":
        pytest.skip("masked models have no left-to-right likelihood")
    contexts = sentences(8, 2)
    targets = [greedy_token(kind, model, subject, context) if n % 2 else int(20 + n + ORDINARY)
               for n, context in enumerate(contexts)]
    path = lines(tmp_path / "lambada.jsonl", *(f"{spell(context)} w{target}"
                                               for context, target in zip(contexts, targets, strict=True)))
    outcome = Lambada(data=path).run(subject)
    theirs = [left_to_right(kind, model, subject, context, [target])
              for context, target in zip(contexts, targets, strict=True)]
    np.testing.assert_allclose([sample["resps"][0][0] for sample in outcome.samples], [nats for nats, _ in theirs],
                               rtol=1e-5)
    assert [bool(sample["acc"]) for sample in outcome.samples] == [greedy for _, greedy in theirs]
    assert outcome.values["perplexity"].value == pytest.approx(np.exp(-np.mean([nats for nats, _ in theirs])), rel=1e-5)
    assert outcome.values["acc"].value < 1
    if (subject.run.workdir / "theirs").exists():  # what was trained here for a few steps writes symbols
        assert outcome.values["acc"].value > 0


def greedy_token(kind, model, subject, context) -> int:
    """What the reference would write next, among the ids that text has."""
    bos = [] if subject.vocabulary.bos_id is None else [BOS]
    if kind == "t5":
        found = log_p(model, input_ids=[*bos, *context, FIRST], decoder_input_ids=[subject.vocabulary.start_id, FIRST])
    else:
        found = log_p(model, input_ids=[*bos, *context])
    return ORDINARY + int(found[-1, ORDINARY:].argmax())


def test_choices(both, tmp_path):
    kind, model, subject = both
    contexts, choices = sentences(5, 3, (3, 5)), [sentences(3, 4 + n, (1, 3)) for n in range(5)]
    path = lines(tmp_path / "choices.jsonl", *(
        {"query": spell(context), "choices": [spell(one) for one in three], "answer": 0}
        for context, three in zip(contexts, choices, strict=True)))
    outcome = MultipleChoice(data=path, answer_context="w30").run(subject)
    score = one_at_a_time if kind == "bert" else lambda *arguments: left_to_right(*arguments)[0]
    for sample, context, three in zip(outcome.samples, contexts, choices, strict=True):
        wanted = [score(kind, model, subject, context, one) for one in three]
        np.testing.assert_allclose([nats for nats, _ in sample["resps"]], wanted, rtol=1e-5)
        np.testing.assert_allclose(sample["unconditional"], [score(kind, model, subject, [30], one) for one in three],
                                   rtol=1e-5)
        assert sample["chosen"]["acc"] == np.argmax(wanted)


