"""Classification of texts after fine-tuning all weights with a linear head."""

import dataclasses
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from arch_zoo.config import FineTuningConfig, OptimizerConfig
from arch_zoo.data.tokenizers import Tokenizer
from arch_zoo.models.architecture import Batch, Reading, make_batch, make_stream
from arch_zoo.objectives.base import cross_entropy
from arch_zoo.objectives.rows import require_length
from arch_zoo.training.optimizers import make_schedule


@dataclasses.dataclass(frozen=True)
class Classification:
    """A task: texts with labels, as the data room makes them."""

    labels: list[str]
    train: list[tuple[str, int]]
    test: list[tuple[str, int]]


def text_batch(texts: list[str], tokenizer: Tokenizer, length: int) -> Batch:
    """[BOS, tokens, EOS] of each text, cut to `length`; the same tokens in the stream and, for an encoder, the source.

    BOS where the tokenizer has one. As prefix-visible stream, everything but the last token, which is read, is prefix.
    """
    v = tokenizer.vocabulary
    rows = [v.document(ids[:length - 2]) for ids in tokenizer.encode_batch(texts)]
    tokens = np.full((len(rows), length), v.pad_id, np.int32)
    for row, ids in zip(tokens, rows, strict=True):
        row[:len(ids)] = ids
    lengths = np.array([len(ids) for ids in rows])[:, None]
    index = np.arange(length)[None]
    stream = make_stream(tokens, (index < lengths).astype(np.int32), np.full_like(tokens, -1), index < lengths - 1)
    nothing = np.zeros_like(tokens)
    return make_batch(stream, stream, nothing, nothing, nothing, np.arange(len(rows)), length)


def pooled(model: nn.Module, parameters: Any, batch: Batch, reading: Reading, *, train: bool, rngs=None) -> jax.Array:
    """[b, d]: one vector for each text, by the reading."""
    hidden_btd = model.apply({"params": parameters}, batch, reading.visibility, train=train, rngs=rngs,
                             method=reading.method).astype(jnp.float32)
    real_bt = (batch.stream.segment_ids != 0).astype(jnp.float32)
    if reading.pool == "mean":
        return jnp.einsum("btd,bt->bd", hidden_btd, real_bt) / real_bt.sum(axis=1, keepdims=True)
    last_b = real_bt.sum(axis=1).astype(jnp.int32) - 1
    return jnp.take_along_axis(hidden_btd, last_b[:, None, None], axis=1)[:, 0]


def fine_tune(model: nn.Module, parameters: Any, reading: Reading, task: Classification, tokenizer: Tokenizer,
              config: FineTuningConfig, seed: int) -> np.ndarray:
    """bool [test examples]: which were classified rightly after fine-tuning from `parameters`."""
    state = train_classifier(model, parameters, reading, task, tokenizer, config, seed)
    test = task.test[:config.test_examples]
    predict = jax.jit(lambda state, batch: jnp.argmax(_logits(model, state, batch, reading, train=False), axis=-1))
    predicted = []
    for start in range(0, len(test), config.batch_size):
        texts = [text for text, _ in test[start:start + config.batch_size]]
        filled = texts + [texts[0]] * (config.batch_size - len(texts))
        predicted.extend(predict(state, text_batch(filled, tokenizer, config.length))[:len(texts)].tolist())
    return np.array(predicted) == np.array([label for _, label in test])


def train_classifier(model: nn.Module, parameters: Any, reading: Reading, task: Classification, tokenizer: Tokenizer,
                     config: FineTuningConfig, seed: int) -> dict[str, Any]:
    """{"model", "head"}: all weights and a linear head, trained on the task's first `config.examples` examples.

    Undefined where the model cannot read texts of `config.length` tokens.
    """
    require_length(model, config.length)
    train = task.train[:config.examples]
    inputs = text_batch([text for text, _ in train], tokenizer, config.length)
    labels = np.array([label for _, label in train])
    steps = config.epochs * max(1, len(train) // config.batch_size)
    schedule = make_schedule(OptimizerConfig(learning_rate=config.learning_rate, warmup_steps=steps // 10,
                                             final_fraction=0.0), steps)
    # As one long vector: a fifth of the step's compilation less than weight by weight, and the same numbers.
    optimizer = optax.flatten(optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(schedule, weight_decay=0.01)))
    state = {"model": parameters, "head": {"kernel": jnp.zeros((model.config.width, len(task.labels))),
                                           "bias": jnp.zeros(len(task.labels))}}

    @jax.jit
    def step(state, optimizer_state, batch, labels, number):
        key = jax.random.fold_in(jax.random.key(seed), number)

        def loss(state):
            logits = _logits(model, state, batch, reading, train=True, rngs={"dropout": key})
            return cross_entropy(logits, labels).mean()

        grads = jax.grad(loss)(state)
        updates, optimizer_state = optimizer.update(grads, optimizer_state, state)
        return optax.apply_updates(state, updates), optimizer_state

    optimizer_state = optimizer.init(state)
    for number in range(steps):
        chosen = _rows_of_step(number, len(train), config.batch_size, seed)
        batch = jax.tree.map(lambda x, chosen=chosen: x[chosen], inputs)
        state, optimizer_state = step(state, optimizer_state, batch, labels[chosen], number)
    return state


def _logits(model: nn.Module, state: dict[str, Any], batch: Batch, reading: Reading, *, train: bool,
            rngs=None) -> jax.Array:
    vectors = pooled(model, state["model"], batch, reading, train=train, rngs=rngs)
    return vectors @ state["head"]["kernel"] + state["head"]["bias"]


def _rows_of_step(number: int, examples: int, batch_size: int, seed: int) -> np.ndarray:
    """The examples of a step: a new order each epoch; a function of (seed, step)."""
    per_epoch = max(1, examples // batch_size)
    epoch, within = divmod(number, per_epoch)
    order = np.random.default_rng([seed, epoch]).permutation(examples)
    return np.resize(order, max(examples, batch_size))[within * batch_size:(within + 1) * batch_size]
