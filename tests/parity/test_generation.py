"""What is chosen, searched and written, against transformers: the same weights, the same prompts, the same texts."""

import dataclasses
import json

import jax.numpy as jnp
import numpy as np
import pytest

from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.generation.beam import BeamSearch, BeamSearcher
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.writer import Writer
from arch_zoo.interop.huggingface import export_checkpoint, import_checkpoint
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.objectives.translation import Translation
from tests.parity.cases import BOTH, BY_NAME, VOCABULARY, Case
from tests.parity.reference import build, descended, save, torch, transformers
from tests.toy import SIZE, tiny_config, toy_batch, toy_vocabulary

pytestmark = pytest.mark.parity
LENGTHS, TOKENS = (3, 7, 5, 4, 1, 6), 9
PENALTIES = (0.0, 1.0)


# --- how tokens are chosen ---------------------------------------------------------------------------------------

def their_logits(logits: np.ndarray, ids: np.ndarray, options: dict[str, float]) -> np.ndarray:
    """By the processors of transformers, in the order in which its generate applies them."""
    given = transformers.GenerationConfig(do_sample=True, **{"top_k": 0} | options)
    model = build(BY_NAME["gpt2"])
    chain = model._get_logits_processor(given, input_ids_seq_length=ids.shape[1], device="cpu")
    return chain(torch.from_numpy(ids), torch.from_numpy(logits)).numpy()


@pytest.mark.parametrize("options", [
    {"temperature": 0.7}, {"top_k": 5}, {"top_p": 0.6}, {"min_p": 0.2}, {"repetition_penalty": 1.7},
    {"repetition_penalty": 1.3, "temperature": 0.6, "top_k": 20, "top_p": 0.8, "min_p": 0.05}], ids=str)
def test_logits_are_those_of_the_processors(options):
    rng = np.random.default_rng(0)
    logits = (3 * rng.standard_normal((16, VOCABULARY))).astype(np.float32)
    ids = rng.integers(0, VOCABULARY, (16, 8))
    seen = np.zeros(logits.shape, bool)
    np.put_along_axis(seen, ids, True, axis=1)
    found = np.asarray(Sampling(**{"temperature": 1.0} | options).remaining(jnp.asarray(logits), jnp.asarray(seen)))
    theirs = their_logits(logits, ids, options)
    np.testing.assert_array_equal(np.isfinite(found), np.isfinite(theirs))
    np.testing.assert_allclose(np.where(np.isfinite(found), found, 0), np.where(np.isfinite(theirs), theirs, 0),
                               rtol=1e-5)
    assert np.abs(found - logits).max() > 0.1


# --- texts of imported models ------------------------------------------------------------------------------------

def vocabulary_of(case_options: dict, size: int) -> Vocabulary:
    """Ids as the case's config has them; no BOS, so that prompts are what transformers is given."""
    special = np.arange(size) < 3
    return Vocabulary(size=size, pad_id=case_options["pad_token_id"], unk_id=None, bos_id=None,
                      eos_id=case_options["eos_token_id"], mask_id=None, sentinel_ids=(), is_special=special,
                      starts_word=special, byte_lengths=np.ones(size, np.int32), sentence_marks=np.zeros(size, np.int8),
                      decoder_start_id=case_options.get("decoder_start_token_id"))


def made_to_end(model, prompts: list[list[int]], pad: int, eos: int) -> None:
    """Weights with which some texts end early: EOS is as likely as the token that is written most often, or, where its
    logit has a bias, goes before all others at half of the places."""
    given = transformers.GenerationConfig(max_new_tokens=TOKENS, do_sample=False, pad_token_id=pad,
                                          decoder_start_token_id=getattr(model.config, "decoder_start_token_id", None),
                                          output_logits=True, return_dict_in_generate=True)
    with torch.no_grad():
        written = [model.generate(torch.tensor([prompt]), generation_config=given) for prompt in prompts]
        if getattr(model, "final_logits_bias", None) is not None:
            logits = torch.cat([step for one in written for step in one.logits])
            model.final_logits_bias[0, eos] += (logits.max(dim=1).values - logits[:, eos]).median()
            return
        tokens = torch.cat([one.sequences[0, -TOKENS:] for one in written])
        table = model.get_output_embeddings().weight
        table[eos] = 1.02 * table[torch.bincount(tokens).argmax()]


def prompts_of(size: int) -> list[list[int]]:
    """Random ordinary tokens."""
    rng = np.random.default_rng(2)
    return [rng.integers(3, size, n).tolist() for n in LENGTHS]


class Pair:
    """A reference model and ours with the same weights, and prompts that both are given."""

    def __init__(self, model, ours, options: dict, pairs: bool, size: int = VOCABULARY):
        self.model, self.pairs, self.pad, self.eos = model, pairs, options["pad_token_id"], options["eos_token_id"]
        module = ours.model.architecture.build(ours.model, ours.model.vocab_size, "float32")
        self.writer = Writer(Translation() if pairs else CausalLM(), ours.model.architecture, module, ours.parameters,
                             vocabulary_of(options, size), 24)
        self.prompts = prompts_of(size)

    def theirs(self, prompts, **options) -> tuple[list[list[list[int]]], torch.Tensor | None]:
        """(what generate writes behind each prompt, best first, scores of beams); an encoder is padded on the right."""
        texts = [[*prompt, self.eos] if self.pairs else prompt for prompt in prompts]
        longest = max(map(len, texts))
        ids, mask = np.full((len(texts), longest), self.pad), np.zeros((len(texts), longest), int)
        for row, text in enumerate(texts):
            place = slice(0, len(text)) if self.pairs else slice(longest - len(text), None)
            ids[row, place], mask[row, place] = text, 1
        given = transformers.GenerationConfig(
            max_new_tokens=TOKENS, do_sample=False, pad_token_id=self.pad, eos_token_id=self.eos, **options,
            decoder_start_token_id=self.writer.vocabulary.start_id if self.pairs else None)
        self.model.generation_config = transformers.GenerationConfig()
        with torch.no_grad():
            out = self.model.generate(torch.from_numpy(ids), attention_mask=torch.from_numpy(mask),
                                      generation_config=given, return_dict_in_generate=True)
        written = out.sequences[:, 1 if self.pairs else longest:].tolist()
        kept = [row[:row.index(self.eos)] if self.eos in row else row for row in written]
        each = len(kept) // len(prompts)
        return [kept[i:i + each] for i in range(0, len(kept), each)], getattr(out, "sequences_scores", None)


@pytest.fixture(scope="module", params=["gpt2", "llama", "bloom", "t5", "bart"])
def imported(request, tmp_path_factory):
    case: Case = BY_NAME[request.param]
    if case.name == "t5":  # the cache of transformers 5.23 has room for as many blocks as its encoder has
        case = dataclasses.replace(case, options=case.options | {"num_decoder_layers": case.options["num_layers"]})
    model = build(case, seed=3)
    made_to_end(model, prompts_of(VOCABULARY), case.options["pad_token_id"], case.options["eos_token_id"])
    ours = import_checkpoint(save(model, tmp_path_factory.mktemp("theirs")))
    start = {"decoder_start_token_id": model.config.decoder_start_token_id} if case.kind == BOTH else {}
    return Pair(model, ours, case.options | start, case.kind == BOTH)


def assert_greedy_is_theirs(pair: Pair) -> None:
    theirs, _ = pair.theirs(pair.prompts)
    assert pair.writer.write(pair.prompts, TOKENS) == [row for row, in theirs]
    # One at a time: transformers penalises padding, too. Seven and five tokens are one program.
    for prompt in pair.prompts[1:3]:
        found = pair.writer.write([prompt], TOKENS, Sampling(repetition_penalty=1.4))
        assert found == pair.theirs([prompt], repetition_penalty=1.4)[0][0]


def assert_beams_are_theirs(pair: Pair, penalties=PENALTIES) -> list[int]:
    """The lengths of all hypotheses."""
    lengths = []
    for penalty in penalties:
        theirs, scores = pair.theirs(pair.prompts, num_beams=4, num_return_sequences=4, early_stopping="never",
                                     length_penalty=penalty, output_scores=True)
        search = BeamSearcher(pair.writer, BeamSearch(beam=4, length_penalty=penalty, normalise="length"))
        found = search.search(pair.prompts, TOKENS)
        for i in range(len(pair.prompts)):
            assert [one.tokens for one in found[i]] == theirs[i]
            np.testing.assert_allclose([one.score for one in found[i]], scores[4 * i:4 * i + 4], rtol=1e-4)
            lengths += [len(one.tokens) for one in found[i]]
    return lengths


def test_greedy_texts_are_the_references(imported):
    assert_greedy_is_theirs(imported)


def test_beams_are_the_references(imported):
    lengths = assert_beams_are_theirs(imported, PENALTIES[1:])  # all of them in models trained here, below
    assert min(lengths) < TOKENS  # some end


# --- models trained here -----------------------------------------------------------------------------------------

@pytest.fixture(scope="module", params=[
    ("decoder_only", "causal_lm", {"position": "rotary", "norm": "rms_norm", "gated": True, "activation": "silu",
                                   "attention_bias": False, "mlp_bias": False, "kv_heads": 1}),
    ("encoder_decoder", "translation", {"placement": "post", "embedding_norm": True, "position.offset": 2})],
    ids=lambda p: p[0])
def trained(request, tmp_path_factory):
    """A model trained here for some steps on one batch, exported, and read by transformers."""
    architecture, objective, options = request.param
    config = tiny_config(model__architecture=architecture, objective=objective, data__length=16, **{
        f"model__{name.replace('.', '__')}": value for name, value in options.items()})
    config = config.replace(model=config.model.replace(vocab_size=SIZE))
    parameters, losses = descended(config, steps=150, rate=0.3)
    batch = toy_batch(config)
    assert losses[-1] < 0.8 * losses[0], losses
    home = tmp_path_factory.mktemp("exported")
    toy = toy_vocabulary()
    special = {"pad_token_id": toy.pad_id, "bos_token_id": toy.bos_id, "eos_token_id": toy.eos_id}
    if architecture == "encoder_decoder":
        special["decoder_start_token_id"] = toy.bos_id
    export_checkpoint(home, config.model, parameters, special_ids=special)
    name = json.loads((home / "config.json").read_text())["architectures"][0]
    model = getattr(transformers, name).from_pretrained(home, attn_implementation="eager").eval()
    ours = import_checkpoint(home)
    pair = Pair(model, dataclasses.replace(ours, parameters=parameters), special, architecture == "encoder_decoder",
                SIZE)
    if architecture == "encoder_decoder":
        sources = np.asarray(batch.source.tokens)
        pair.prompts = [row[:list(row).index(toy.eos_id)].tolist() for row in sources[:6]]
    else:
        pair.prompts = [row[1:1 + n].tolist() for row, n in zip(np.asarray(batch.stream.tokens), LENGTHS, strict=False)]
    return pair


def test_texts_of_a_model_trained_here_are_the_references(trained):
    assert_greedy_is_theirs(trained)
    assert len(set(assert_beams_are_theirs(trained))) > 1
    assert len({tuple(text) for text in trained.writer.write(trained.prompts, TOKENS)}) > 2  # no noise
