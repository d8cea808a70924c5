"""Small things that many tests share: a vocabulary, windows of random text, tiny configs."""

import functools
from typing import Any

import jax
import numpy as np

from arch_zoo.config import RunConfig
from arch_zoo.data.sentences import SentenceMark
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.examples import Pairs, Window
from arch_zoo.models.architecture import Batch
from arch_zoo.objectives.base import Objective, Seeds
from arch_zoo.registry import ARCHITECTURES, OBJECTIVES
from arch_zoo.settings import override
from arch_zoo.training.optimizers import make_optimizer
from arch_zoo.training.state import initialise
from arch_zoo.training.step import make_train_step

SENTINELS = 16
ORDINARY = 5 + SENTINELS  # the first id that stands for text
SIZE = 64
# For `tiny_config`, where biases play no part: every parameter is traced and compiled again and again.
WITHOUT_BIASES = {"model__attention_bias": False, "model__mlp_bias": False, "model__norm_bias": False}


def toy_vocabulary() -> Vocabulary:
    """Special ids in the tokenizer's order, then text; every third piece begins a word, every seventh is a line."""
    special = np.arange(SIZE) < ORDINARY
    line = (np.arange(SIZE) % 7 == 0) & ~special
    return Vocabulary(size=SIZE, pad_id=0, unk_id=1, bos_id=2, eos_id=3, mask_id=4,
                      sentinel_ids=tuple(range(5, ORDINARY)), is_special=special,
                      starts_word=(np.arange(SIZE) % 3 == 0) & ~special, byte_lengths=(~special).astype(np.int32),
                      sentence_marks=np.where(line, SentenceMark.BREAK, SentenceMark.NONE).astype(np.int8))


def toy_window(rows: int = 4, length: int = 32, *, first: int = 0, documents: bool = True, seed: int = 0) -> Window:
    """Random text; with `documents`, a document ends and another begins inside each row."""
    rng = np.random.default_rng([seed, first])
    tokens = rng.integers(ORDINARY, SIZE, (rows, length + 1), dtype=np.int32)
    segment_ids = np.ones_like(tokens)
    if documents:
        for row, cut in enumerate(rng.integers(length // 4, 3 * length // 4, rows)):
            tokens[row, cut - 1:cut + 1] = 3, 2  # EOS, BOS
            segment_ids[row, cut:] = 2
    index = np.arange(first, first + rows, dtype=np.int64)
    return Window(tokens=tokens, segment_ids=segment_ids, index=index, place=index, visit=np.zeros_like(index),
                  elsewhere=lambda place, uniform: _elsewhere(uniform, length))


def _elsewhere(uniform: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Random text of one document, by the draw of each row alone."""
    rows = [np.random.default_rng(int(u * 2**24)).integers(ORDINARY, SIZE, length + 1, dtype=np.int32) for u in uniform]
    return np.stack(rows), np.ones((len(rows), length + 1), np.int32)


_PAIRS = {"model.pooler": True, "model.sentence_classes": 2, "model.token_types": 2}
_MODELS = {"multi_token": {"model.future_heads": 2}, "next_sentence": _PAIRS, "sentence_order": _PAIRS,
           "electra": {"model.discriminator": True, "model.vocabulary_head": False}}


def toy_pairs(rows: int = 4, length: int = 32, *, first: int = 0, documents: bool = True, seed: int = 0,
              target_length: int | None = None) -> Pairs:
    """Pairs of random texts that end in EOS; with `documents` two in a row, the second behind a free place."""
    source, target = (toy_window(rows, n - 1, first=first, documents=False, seed=seed + n)
                      for n in (length, target_length or length))
    segments = []
    for stream, free in ((source.tokens, 0), (target.tokens, 1)):
        cut = stream.shape[1] // 2 if documents else stream.shape[1]
        stream[:, [cut - 1, -1]] = 3
        stream[:, cut:cut + free] = 0
        segments.append(np.broadcast_to(1 + (np.arange(stream.shape[1]) >= cut), stream.shape).astype(np.int32))
    return Pairs(source.tokens, segments[0], target.tokens, segments[1], index=source.index, place=source.index,
                 visit=source.visit)


def toy_text(objective: Objective, rows: int = 4, length: int = 32, **options) -> Window | Pairs:
    """Text as the objective reads it."""
    if objective.reads_pairs:
        return toy_pairs(rows, length, target_length=objective.lengths(length).target, **options)
    return toy_window(rows, length, **options)


def needed_for(objective: str) -> dict[str, Any]:
    """What a run needs for the objective, by dotted path."""
    pairs = {"data.corpus": "parallel:toy.tsv"} if OBJECTIVES.get(objective).reads_pairs else {}
    return _MODELS.get(objective, {}) | pairs


def tiny_config(**changes) -> RunConfig:
    """A run of a few thousand parameters; `changes` by dotted path, with `__` for the dot."""
    small = {"model.width": 16, "model.depth": 2, "model.heads": 2, "model.activation": "relu", "data.length": 32,
             "batch_size": 8, "steps": 20, "data.tokenizer.sentinels": SENTINELS, "data.tokenizer.vocab_size": 300,
             "optimizer.learning_rate": 1e-2, "optimizer.warmup_steps": 2}
    small |= needed_for(changes.get("objective", "causal_lm"))
    return override(RunConfig(), small | {name.replace("__", "."): value for name, value in changes.items()})


def toy_batch(config: RunConfig, *, first: int = 0, documents: bool = True) -> Batch:
    """A batch of toy text as the config's objective and architecture make it."""
    window = toy_text(config.objective, config.batch_size, config.data.length, first=first, documents=documents)
    vocabulary = toy_vocabulary()
    example = config.objective.prepare(window, vocabulary, Seeds(config.seed))
    return config.model.architecture.layout(example, np.arange(config.batch_size), vocabulary.bos_id)


def padded(batch: Batch, length: int) -> Batch:
    """Every stream and every row of targets made this long: batches of one shape share what is compiled for them."""
    def longer(array, value=0):
        return np.pad(array, ((0, 0), (0, length - array.shape[1])), constant_values=value)

    def longer_stream(stream):
        return stream and jax.tree.map(longer, stream).replace(origin=longer(stream.origin, -1))

    return batch.replace(
        stream=longer_stream(batch.stream), source=longer_stream(batch.source), targets=longer(batch.targets),
        loss_positions=None if batch.loss_positions is None else longer(batch.loss_positions),
        target_origin=longer(batch.target_origin, -1), loss_weights=longer(batch.loss_weights))


def toy_model(config: RunConfig):
    """The config's model over the toy vocabulary."""
    return config.objective.build(config.model, SIZE, config.dtype)


_initial_states: dict = {}  # compiling the initialisation takes as long as a step's, and many configs share theirs


def toy_losses(config: RunConfig, steps: int = 20) -> np.ndarray:
    """The training loss at each step, on one toy batch again and again: a float a step, all in one compiled program."""
    model, optimizer = toy_model(config), make_optimizer(config.optimizer, config.steps)
    visibility, batch = config.model.architecture.visibility, padded(toy_batch(config), 2 * config.data.length)

    def start():
        return initialise(model, optimizer, batch, visibility, config.seed)

    # The state at the start depends on the seed and the tree, not on who sees whom or on positions without parameters.
    rest = config.model.replace(architecture="decoder_only", position="none")
    key = (str(jax.eval_shape(start)), rest, config.seed)
    if key not in _initial_states:
        _initial_states[key] = jax.jit(start)()
    objective = _as_to_loss(config.objective)
    run = _training(objective, model, visibility, config.optimizer, config.steps, config.seed, steps)
    metrics = run(_initial_states[key], batch)
    return np.asarray(metrics["loss_sum"] / metrics["loss_weight"])


def _as_to_loss(objective: Objective) -> Objective:
    """What has the same loss of the same batch: for most the base class, so that one program trains them."""
    of_loss = ("loss_weights", "losses", "joined", "scales")
    own = any(getattr(type(objective), name) is not getattr(Objective, name) for name in of_loss)
    return objective if own else Objective()


@functools.cache
def _training(objective, model, visibility, optimizer, total_steps, seed, steps):
    """A compiled function from a state and a batch to the metrics of so many steps."""
    step = make_train_step(objective, model, visibility, make_optimizer(optimizer, total_steps), seed=seed,
                           accumulate=1)
    return jax.jit(lambda state, batch: jax.lax.scan(lambda s, _: step(s, batch), state, length=steps)[1])


_shapes: dict = {}  # of parameters, by model: no objective's batches change them


def abstract_parameters(config: RunConfig):
    """Shapes and types of the model's parameters, without computing them."""
    model = toy_model(config)
    if model not in _shapes:
        visibility, batch = config.model.architecture.visibility, toy_batch(config)
        _shapes[model] = jax.eval_shape(lambda key: model.init(key, batch, visibility, train=False)["params"],
                                        jax.random.key(0))
    return jax.tree.map(lambda leaf: leaf, _shapes[model])


def drawn(tree, noise: float, seed: int = 0):
    """Arrays of these shapes, each different from all others; nothing is compiled, as an initialisation would be.

    Scales of norms are drawn around one, everything else around zero.
    """
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        return np.asarray(float(path[-1].key == "scale") + rng.normal(0, noise, leaf.shape), leaf.dtype)

    return jax.device_put(jax.tree_util.tree_map_with_path(draw, tree))


PLAIN = ("causal_lm", "masked_lm", "prefix_lm", "span_corruption")


def plain_pairs() -> list[tuple[str, str]]:
    """The compatible pairs of a few objectives that stand for all: for tests of what objectives do not differ in."""
    return [pair for pair in compatible_pairs() if pair[1] in PLAIN]


def compatible_pairs() -> list[tuple[str, str]]:
    """Every (architecture, objective) that the registries hold and a config accepts."""
    return [(a, o) for a in ARCHITECTURES.names() for o in OBJECTIVES.names()
            if ARCHITECTURES.get(a)().refusal(OBJECTIVES.get(o)()) is None]
