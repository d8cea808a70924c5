"""What a run costs, before it runs: parameters, operations, tokens."""

import dataclasses
import functools

import jax

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.flops import BACKWARD, count_flops
from arch_zoo.models.abstract import plain
from arch_zoo.tensor_files import flatten_tree
from arch_zoo.training.batches import example_batch


@dataclasses.dataclass(frozen=True)
class Ledger:
    """The cost of a run. FLOPs are of matrix products, forward and backward, without recomputation."""

    params: int
    non_embedding_params: int
    flops_per_token: float  # of training, by token of corpus
    flops: float
    tokens: int
    loss_tokens: int        # at most so many predictions carry loss; the run counts them exactly
    steps: int


def make_ledger(config: RunConfig, vocabulary: Vocabulary) -> Ledger:
    """The ledger of a run, without allocating its parameters."""
    vocab_size = config.model.vocab_size or vocabulary.size
    parameters = _abstract_parameters(config, vocab_size, vocabulary)
    sizes = {jax.tree_util.keystr(path): leaf.size for path, leaf in jax.tree_util.tree_leaves_with_path(parameters)}
    objective, length = config.objective, config.data.length
    tokens = config.steps * config.batch_size * length
    flops_per_token = flops_of_training(config, vocab_size)
    non_embedding = sum(size for path, size in sizes.items() if "embedding" not in path.rsplit("[")[-1])
    return Ledger(params=sum(sizes.values()), non_embedding_params=non_embedding,
                  flops_per_token=flops_per_token, flops=flops_per_token * tokens, tokens=tokens,
                  loss_tokens=config.steps * config.batch_size * objective.loss_positions(length), steps=config.steps)


def flops_of_training(config: RunConfig, vocab_size: int) -> float:
    """Operations of training for each token of corpus: `Ledger.flops_per_token`."""
    length = config.data.length
    return (1 + BACKWARD) * config.objective.forward_flops(config.model, vocab_size, length) / length


def parameter_shapes(config: RunConfig, vocabulary: Vocabulary) -> dict[str, tuple[int, ...]]:
    """{path: shape} of a run's parameters, without allocating them."""
    parameters = _abstract_parameters(config, config.model.vocab_size or vocabulary.size, vocabulary)
    return {path: leaf.shape for path, leaf in flatten_tree(parameters).items()}


def counted_flops_per_token(config: RunConfig, vocabulary: Vocabulary) -> float:
    """The ledger's `flops_per_token`, counted in the jaxpr of the gradient instead of by formula."""
    vocab_size = config.model.vocab_size or vocabulary.size
    model, visibility = _model(config, vocab_size), config.model.architecture.visibility
    batch = example_batch(config, vocabulary)

    def loss(parameters, batch):
        return config.objective.loss(model, parameters, batch, visibility, train=False)[0]

    parameters = _abstract_parameters(config, vocab_size, vocabulary)
    return count_flops(jax.grad(loss), parameters, batch) / (len(batch.example_ids) * config.data.length)


def _model(config: RunConfig, vocab_size: int):
    return config.objective.build(config.model, vocab_size, config.dtype)


def _abstract_parameters(config: RunConfig, vocab_size: int, vocabulary: Vocabulary):
    model = _model(config.replace(model=plain(config.model)), vocab_size)
    initialise = functools.partial(model.init, train=False)
    visibility = config.model.architecture.visibility
    batch = example_batch(config, vocabulary)
    return jax.eval_shape(lambda: initialise(jax.random.key(0), batch, visibility)["params"])
