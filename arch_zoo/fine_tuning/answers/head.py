"""Answers by a linear head on pooled states."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from arch_zoo.config import FineTuningConfig
from arch_zoo.data.labelled.task import Example, Kind, Labelled
from arch_zoo.errors import UserError
from arch_zoo.fine_tuning.answers.question import Answer, Asked, Prepared
from arch_zoo.fine_tuning.inputs import NEW_TOKENS, Encoded, Inputs, Marks, encode, inputs_of
from arch_zoo.fine_tuning.layers import hidden_states, pooled, states_of_layers
from arch_zoo.layers.cross_entropy import cross_entropy
from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Architecture, Reading
from arch_zoo.objectives.causal_lm import CausalLM
from arch_zoo.objectives.rows import require_length
from arch_zoo.registry import ANSWERS
from arch_zoo.settings import setting


@ANSWERS.register("head")
@dataclasses.dataclass(frozen=True)
class Head(Answer):
    """A new linear layer on one vector for each row of tokens; read as the architecture does unless options differ."""

    visibility: Literal["own", "bidirectional", "causal", "prefix"] = setting(
        "own", "who sees whom in the stack that is read")
    pool: Literal["own", "first", "last", "mean"] = setting("own", "the state that is read, or the mean of all")
    streams: Literal["own", "encoder", "both"] = setting("own", "of an encoder-decoder: the encoder alone, or the text "
                                                                "in both")

    def bind(self, asked: Asked, task: Labelled, config: FineTuningConfig) -> "HeadQuestion":
        return HeadQuestion(asked, task, self.reading(asked.model.config.architecture), config)

    def reading(self, architecture: Architecture) -> Reading:
        """UserError where the architecture cannot be read so."""
        base = self._base(architecture)
        visibility = base.visibility if self.visibility == "own" else Visibility(self.visibility)
        pool = base.pool if self.pool == "own" else self.pool
        if pool == "first" and visibility is Visibility.CAUSAL and len(base.stacks) == 1:
            raise UserError("answer.pool=first: under causal visibility the first token sees nothing but itself; use "
                            "pool=last or mean, or visibility=bidirectional")
        if (visibility, pool) == (base.visibility, base.pool):
            return base
        where = "" if architecture.stacks == 1 else f"{' and '.join(base.stacks)}, "
        what = {"mean": "mean over tokens"}.get(pool, f"{pool} token")
        return dataclasses.replace(base, visibility=visibility, pool=pool, words=f"{where}{visibility.value}, {what}")

    def _base(self, architecture: Architecture) -> Reading:
        own, shared = architecture.own_reading, architecture.shared_reading
        if self.streams == "own":
            return own
        wanted = 1 if self.streams == "encoder" else 2
        if architecture.stacks == 1:
            raise UserError(f"answer.streams={self.streams}: {architecture.name} has one stack; leave it own")
        return next(reading for reading in (own, shared) if len(reading.stacks) == wanted)


class HeadQuestion:
    """Rows of tokens, a vector of each, and from their sum a score for each label or a value; or of each a score.

    In similarity the vectors of both orders are added (GPT-1); beside a choice each row has a score, and there is a
    softmax over the choices. Values are learnt in units of their deviation in the training examples, from their mean.
    """

    def __init__(self, asked: Asked, task: Labelled, reading: Reading, config: FineTuningConfig):
        self._asked, self._task, self._reading, self._config = asked, task, reading, config
        self.how, self.stacks, self.model = reading.words, reading.stacks, asked.model
        model, vocabulary = asked.model, asked.tokenizer.vocabulary
        require_length(model, config.length)
        self._every_layer = config.weights.every_layer
        self._marks = Marks.new(model.vocab_size - NEW_TOKENS) if config.new_tokens else Marks.of_tokenizer(vocabulary)
        self._types = model.config.token_types > 1
        rows = {Kind.SIMILARITY: 2, Kind.CHOICE: max((len(example.choices) for example in (*task.train, *task.dev)),
                                                     default=2)}
        self._rows, self._outputs = rows.get(task.kind, 1), len(task.labels) or 1
        values = [example.answer for example in task.train] if task.is_regression else [0.0]
        self._mean, self._deviation = float(np.mean(values)), float(np.std(values)) or 1.0
        self._require_auxiliary()
        self._scores = jax.jit(self.scores)

    def _require_auxiliary(self) -> None:
        if not self._config.auxiliary:
            return
        c = self._asked.model.config
        problem = c.architecture.refusal(CausalLM())
        if problem or not c.vocabulary_head:
            raise UserError(f"auxiliary={self._config.auxiliary:g}: {c.architecture.name} has no causal language-model "
                            f"loss: {problem or 'the model has no head that predicts tokens'}")

    def head(self) -> dict[str, Any]:
        width = self._asked.model.config.width
        made = {"kernel": jnp.zeros((width, self._outputs)), "bias": jnp.zeros(self._outputs)}
        if self._every_layer:
            made |= {"mixture": jnp.zeros(self._layers()), "factor": jnp.ones(())}
        return made

    def _layers(self) -> int:
        c = self._asked.model.config
        return 1 + (c.encoder_depth or c.depth if self.stacks == ("encoder",) else c.depth)

    def prepare(self, examples: Sequence[Example]) -> Prepared:
        encoded = self._encode(examples)
        dtype = np.float32 if self._task.is_regression else np.int32
        answers = np.array([example.answer for example in examples], dtype)
        return Prepared(len(examples), encoded.cut, lambda chosen: (self._inputs(encoded, chosen), answers[chosen]))

    def _encode(self, examples: Sequence[Example]) -> Encoded:
        return encode(examples, self._task.kind, self._asked.tokenizer, self._marks, self._config.length)

    def _inputs(self, encoded: Encoded, chosen: Sequence[int]) -> Inputs:
        return inputs_of([encoded.rows[i] for i in chosen], self._rows, self._config.length,
                         self._asked.tokenizer.vocabulary.pad_id, self._types)

    def vectors(self, parameters: Any, head: Mapping[str, Any], inputs: Inputs, *, train: bool,
                rngs: Mapping | None = None) -> jax.Array:
        """[b, n, d]: one vector for each row."""
        model, batch = self._asked.model, inputs.batch
        if self._every_layer:
            states = pooled(states_of_layers(model, parameters, batch, self._reading), batch, self._reading.pool)
            found = head["factor"] * jnp.einsum("l,lbd->bd", jax.nn.softmax(head["mixture"]), states)
        else:
            states = hidden_states(model, parameters, batch, self._reading, train=train, rngs=rngs)
            found = pooled(states, batch, self._reading.pool)
        return found.reshape(*inputs.present.shape, -1)

    def scores(self, parameters: Any, head: Mapping[str, Any], inputs: Inputs, *, train: bool = False,
               rngs: Mapping | None = None) -> jax.Array:
        """[b, labels], [b, choices], or [b, 1] for values."""
        vectors = self.vectors(parameters, head, inputs, train=train, rngs=rngs)
        if self._task.kind is not Kind.CHOICE:
            return vectors.sum(axis=1) @ head["kernel"] + head["bias"]
        scores = (vectors @ head["kernel"] + head["bias"])[..., 0]
        return jnp.where(inputs.present, scores, jnp.finfo(jnp.float32).min)

    def loss(self, parameters: Any, head: Mapping[str, Any], batch: tuple[Inputs, jax.Array], *, train: bool,
             rngs: Mapping | None = None) -> jax.Array:
        inputs, answers = batch
        scores = self.scores(parameters, head, inputs, train=train, rngs=rngs)
        if self._task.is_regression:
            loss = jnp.mean((scores[:, 0] - (answers - self._mean) / self._deviation) ** 2)
        else:
            loss = cross_entropy(scores, answers).mean()
        if not self._config.auxiliary:
            return loss
        total, weight = CausalLM().loss(self._asked.model, parameters, inputs.batch, Visibility.CAUSAL, train=train,
                                        rngs=rngs)
        return loss + self._config.auxiliary * total / jnp.maximum(weight, 1.0)

    def predict(self, parameters: Any, head: Mapping[str, Any], examples: Sequence[Example]) -> tuple[list, int]:
        encoded, size, found = self._encode(examples), self._config.batch_size, []
        for start in range(0, len(examples), size):
            chosen = np.arange(start, min(start + size, len(examples)))
            scores = np.asarray(self._scores(parameters, head, self._inputs(encoded, np.resize(chosen, size))))
            found.append(scores[:len(chosen)])
        scores = np.concatenate(found)
        if self._task.is_regression:
            return (scores[:, 0].astype(np.float64) * self._deviation + self._mean).tolist(), encoded.cut
        return scores.argmax(axis=1).tolist(), encoded.cut
