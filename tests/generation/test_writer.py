"""What is written token by token with a cache is what is written by reading everything again for each token."""

import functools

import numpy as np
import pytest

from arch_zoo.errors import UserError
from arch_zoo.generation.prompts import prompt_batch
from arch_zoo.generation.sampling import Sampling
from arch_zoo.generation.unmasking import Filler
from arch_zoo.objectives.base import Undefined
from tests.generation.models import CONTEXTS, VOCABULARY, Naive, config_of, parameters_of, writer_of, writer_with
from tests.toy import compatible_pairs, toy_model

PAIRS = [("decoder_only", "causal_lm"), ("prefix_decoder", "prefix_lm"), ("prefix_decoder", "noncausal_lm"),
         ("decoder_only", "span_corruption"), ("prefix_decoder", "ul2"),
         *(("encoder_decoder", name) for name in ("prefix_lm", "span_corruption", "translation", "denoising", "ul2"))]
IDS = ["-".join(pair) for pair in PAIRS]
TOKENS = 7
WARM = Sampling(temperature=1.0, seed=1)


@functools.cache
def written_by_naive(architecture, objective):
    naive = Naive(writer_of(architecture, objective))
    return [naive.greedy(context, TOKENS) for context in CONTEXTS]


@pytest.mark.parametrize(("architecture", "objective"), PAIRS, ids=IDS)
def test_cached_is_uncached_in_any_company(architecture, objective):
    """Six contexts of four lengths, one of them empty, in one batch; the slow loop reads each alone."""
    wanted = written_by_naive(architecture, objective)
    assert writer_of(architecture, objective).write(CONTEXTS, TOKENS) == wanted
    assert len(set(map(tuple, wanted))) > 1, "a model that says one thing to all shows nothing"


def test_some_texts_end_and_some_fill_up():
    """Of the comparison above: it has seen both."""
    lengths = {len(text) for pair in PAIRS[:3] for text in written_by_naive(*pair)}
    assert TOKENS in lengths and min(lengths) < TOKENS


@pytest.mark.parametrize(("rows", "contexts"), [(1, [[30, 31], [40, 41], [33, 32]]), (4, CONTEXTS)], ids=["1", "4"])
def test_the_batch_size_changes_nothing(rows, contexts):
    pair = ("decoder_only", "causal_lm")
    again, naive = writer_of(*pair, rows=rows), Naive(writer_of(*pair))
    assert again.write(contexts, TOKENS) == [naive.greedy(context, TOKENS) for context in contexts]
    assert again.write(contexts, TOKENS, WARM) == writer_of(*pair).write(contexts, TOKENS, WARM)


def test_another_context_is_another_text():
    """The negative control: the prompt counts, its last token and its first."""
    naive = Naive(writer_of("decoder_only", "causal_lm"))
    base = naive.logits([30, 31, 32], [])
    for other in ([30, 31, 33], [29, 31, 32], [30, 31, 32, 32]):
        assert np.abs(naive.logits(other, []) - base).max() > 0.1


def test_half_precision_writes():
    config = config_of("encoder_decoder", "prefix_lm", dtype="bfloat16")
    assert len(writer_with(config, parameters_of(config, 1.0)).write(CONTEXTS, 4)) == len(CONTEXTS)


# --- draws -------------------------------------------------------------------------------------------------------


def test_a_draw_is_a_function_of_seed_row_and_step():
    """Row 1 keeps its text whatever stands in the other rows, which also changes the order in which they are read."""
    writer = writer_of("decoder_only", "causal_lm", -5.0)
    prompt, others = [30, 31], ([40], [41, 42, 43, 44, 45, 46, 47, 48, 49])
    texts = [writer.write([one, prompt, two], TOKENS, WARM)[1] for one in others for two in others]
    assert texts[1:] == texts[:-1]
    assert writer.write([prompt, prompt], TOKENS, WARM)[1] == texts[0]
    assert writer.write([prompt, prompt], TOKENS, WARM)[0] != texts[0]
    assert writer.write([others[0], prompt], TOKENS, WARM.replace(seed=2))[1] != texts[0]


def test_samples_of_one_prompt_differ():
    writer = writer_of("decoder_only", "causal_lm", -5.0)
    texts = writer.write([[30, 31]] * 12, TOKENS, WARM)
    assert len(set(map(tuple, texts))) == 12
    assert texts == writer.write([[30, 31]] * 12, TOKENS, WARM)
    steps = writer.write([[30, 31]], 40, WARM.replace(top_k=2))[0]  # one draw for all steps would soon repeat itself
    assert len(set(steps)) > 1


def test_a_stream_writes_what_the_first_row_writes():
    writer = writer_of("decoder_only", "causal_lm", -50.0)
    pieces = list(writer.stream(CONTEXTS[0], 12, WARM))
    assert pieces[-1] == writer.write(CONTEXTS[:1], 12, WARM)[0]
    assert [len(piece) for piece in pieces] == list(range(1, 13))
    assert all(later[:len(earlier)] == earlier for earlier, later in zip(pieces, pieces[1:], strict=False))


# --- where a text ends -------------------------------------------------------------------------------------------

@pytest.mark.parametrize("most", [1, 16, 17])
def test_no_more_than_is_asked_for(most):
    """The program looks up every sixteen tokens."""
    writer = writer_of("decoder_only", "causal_lm", -50.0)
    assert [len(text) for text in writer.write(CONTEXTS[:2], most)] == [most, most]


def test_a_text_ends_before_a_token_that_stops_it():
    writer = writer_of("decoder_only", "causal_lm", -50.0)
    whole = writer.write([CONTEXTS[0]], 12, WARM)[0]
    stop = next(token for token in whole[3:] if token not in whole[:3])
    cut = whole[:whole.index(stop)]
    assert writer.write([CONTEXTS[0]], 12, WARM, [stop, 1]) == [cut]
    assert list(writer.stream(CONTEXTS[0], 12, WARM, [stop, 1]))[-1] == cut


def test_eos_is_not_part_of_the_text():
    assert writer_of("decoder_only", "causal_lm", 100.0).write(CONTEXTS, TOKENS) == [[]] * len(CONTEXTS)


@pytest.mark.parametrize("architecture", ["prefix_decoder", "encoder_decoder"])
def test_a_span_ends_where_the_next_sentinel_stands(architecture):
    config = config_of(architecture, "span_corruption")
    for sentinel, length in ((VOCABULARY.sentinel_ids[1], 0), (VOCABULARY.sentinel_ids[2], 5)):
        writer = writer_with(config, parameters_of(config, 100.0, sentinel))
        assert [len(text) for text in writer.write(CONTEXTS[:2], 5)] == [length] * 2


def test_a_row_is_finished_when_its_caller_says_so():
    """It is told which context a text belongs to, and asked every sixteen tokens."""
    writer, seen = writer_of("decoder_only", "causal_lm", -50.0), {}

    def finished(number, written):
        seen.setdefault(number, []).append(len(written))
        return number == 2

    lengths = [len(text) for text in writer.write([[30] * 5, [31], [32, 33]], 40, WARM, finished=finished)]
    assert lengths[:2] == [40, 40] and lengths[2] >= 16
    assert seen.keys() == {0, 1, 2} and seen[0] == [16, 32, 40]


# --- what cannot be written --------------------------------------------------------------------------------------

@pytest.mark.parametrize(("architecture", "objective", "source", "stream"), [
    ("decoder_only", "causal_lm", 0, 6), ("prefix_decoder", "prefix_lm", 0, 7), ("encoder_decoder", "prefix_lm", 6, 1)])
def test_what_learned_positions_cannot_tell_apart_is_undefined(architecture, objective, source, stream):
    """A context of five tokens: with BOS six, in a prefix decoder another BOS behind them, or the decoder's alone."""
    def writer(max_len):
        config = config_of(architecture, objective, data__length=4, model__position="learned", model__max_len=max_len)
        made = writer_with(config, {})
        made._begin = lambda *arguments, room: room
        return made

    for tokens in (2, 6):
        longest = max(source, stream + tokens)
        assert writer(longest).begin([list(range(30, 35))], tokens, 1) == tokens
        with pytest.raises(Undefined, match=f"stream of {longest} tokens is longer than model.max_len={longest - 1}"):
            writer(longest - 1).write([list(range(30, 35))], tokens)


@pytest.mark.parametrize(("architecture", "objective"), compatible_pairs())
def test_every_model_writes_or_fills_in_or_says_why_not(architecture, objective):
    try:
        config = config_of(architecture, objective)
    except UserError:  # heads that this objective's model cannot have
        pytest.skip("needs another model")
    arguments = (config.objective, config.model.architecture, toy_model(config), {}, VOCABULARY)
    try:
        batch = prompt_batch(*arguments[:2], VOCABULARY, CONTEXTS)
    except Undefined as reason:
        assert len(str(reason)) > 20
        return
    real = np.asarray(batch.stream.segment_ids) != 0
    assert real[:, -1].all(), "all rows end together"
    with pytest.raises(Undefined, match="not trained to fill in"):
        Filler(*arguments)
