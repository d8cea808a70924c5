"""Writers with small models, and the slow loop that they are held against."""

import functools
from collections.abc import Sequence

import jax
import numpy as np

from arch_zoo.config import RunConfig
from arch_zoo.evaluation.likelihood import Scorer
from arch_zoo.examples import SourceTarget
from arch_zoo.generation.writer import Writer
from arch_zoo.layers.visibility import Visibility
from arch_zoo.objectives.rows import Shape, collate
from tests.toy import ORDINARY, SIZE, tiny_config, toy_batch, toy_model, toy_vocabulary

VOCABULARY = toy_vocabulary()
EOS = VOCABULARY.eos_id
CONTEXTS = [[30, 31, 32], [], list(range(25, 34)), [40, 41, 42], [50], [30, 31, 33]]


def config_of(architecture: str, objective: str, **changes) -> RunConfig:
    """Two blocks, for in one a prefix that sees itself and one that does not look the same to what follows."""
    return tiny_config(**{"model__position": "rotary", "model__tied_embeddings": False, "model__logits_bias": True,
                          "model__architecture": architecture, "objective": objective, "data__length": 16,
                          **changes})


@functools.cache
def _parameters(stacks: int):
    """They do not depend on the objective, nor on who sees whom; so few programs are compiled."""
    config = config_of(*{1: ("decoder_only", "causal_lm"), 2: ("encoder_decoder", "prefix_lm")}[stacks])
    model, batch = toy_model(config), toy_batch(config)

    @jax.jit
    def make():
        parameters = model.init(jax.random.key(0), batch, Visibility.CAUSAL, train=False)["params"]
        leaves, tree = jax.tree.flatten(parameters)
        keys = jax.random.split(jax.random.key(1), len(leaves))
        return jax.tree.unflatten(tree, [p + 0.4 * jax.random.normal(k, p.shape)
                                         for p, k in zip(leaves, keys, strict=True)])

    return make()


def parameters_of(config: RunConfig, ends: float, end: int = EOS):
    """Parameters as of a trained model, in which a text ends as readily as `ends` says: a bias of that logit."""
    parameters = _parameters(config.model.architecture.stacks)
    bias = np.zeros(len(parameters["head"]["logits_bias"]), np.float32)
    bias[end] = ends
    return parameters | {"head": parameters["head"] | {"logits_bias": bias}}


@functools.cache
def writer_of(architecture: str, objective: str, ends: float = 1.5, rows: int = 6) -> Writer:
    """A writer with a noisy model."""
    config = config_of(architecture, objective)
    return writer_with(config, parameters_of(config, ends), rows)


_compiled: dict = {}


def writer_with(config: RunConfig, parameters, rows: int = 6) -> Writer:
    """A writer with these parameters. Of a model one reading and one writing program serve all objectives and rows."""
    writer = Writer(config.objective, config.model.architecture, toy_model(config), parameters, VOCABULARY, rows)
    key = writer.architecture.name, writer.model
    writer._begin, writer._advance = _compiled.setdefault(key, (writer._begin, writer._advance))
    return writer


class Likelihoods(Scorer):
    """A scorer whose batches have all one shape, so that one program is compiled."""

    def _shape(self, row) -> Shape:
        return Shape(16, 12, 0) if isinstance(row, SourceTarget) else Shape(0, 24, 8)


def likelihoods_by(writer: Writer) -> Scorer:
    """A scorer of the writer's model."""
    return Likelihoods(writer.architecture, writer.model, writer.parameters, writer.vocabulary, 1024)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _logits(model, visibility, parameters, batch):
    return model.apply({"params": parameters}, batch, visibility, train=False)


class Naive:
    """Writes by reading everything again through the whole model for each token; one row at a time, no cache.

    Rows are laid out as the objective lays out what is scored, so that the writer's prompts are held against those.
    """

    def __init__(self, writer: Writer, source: int = 24, stream: int = 32):
        self.writer, self.shape = writer, Shape(source, stream, stream)

    def logits(self, context: Sequence[int], written: Sequence[int]) -> np.ndarray:
        """[v], of the token behind what has been written."""
        w = self.writer
        row, = w.objective.conditional(context, [*written, EOS], w.vocabulary)
        batch = w.architecture.layout(collate([row], self.shape, 1), np.zeros(1, int), w.vocabulary.start_id)
        place = np.flatnonzero(batch.loss_weights[0])[-1]
        return np.asarray(_logits(w.model, w.architecture.visibility, w.parameters, batch))[0, place]

    def greedy(self, context: Sequence[int], max_tokens: int) -> list[int]:
        """The text of the likeliest tokens."""
        written: list[int] = []
        while len(written) < max_tokens:
            token = int(self.logits(context, written).argmax())
            if token in self.writer.ends:
                break
            written.append(token)
        return written


def random_texts(count: int, longest: int, seed: int = 0) -> list[list[int]]:
    """Ids of ordinary tokens, of all lengths from 0."""
    rng = np.random.default_rng(seed)
    return [rng.integers(ORDINARY, SIZE, int(n)).tolist() for n in rng.integers(0, longest + 1, count)]
