"""An imported model run on the rows that a reference implementation was given."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from arch_zoo.config import ModelConfig
from arch_zoo.models.architecture import Batch, make_batch, make_stream


def batch_of(given: dict[str, np.ndarray]) -> Batch:
    """Rows by the names that transformers gives them, as our batch."""
    def stream(prefix, types=None):
        ids = given[f"{prefix}input_ids"]
        return make_stream(ids, given[f"{prefix}attention_mask"], np.full_like(ids, -1), types=types)

    both = "decoder_input_ids" in given
    read = stream("decoder_" if both else "", None if both else given.get("token_type_ids"))
    nothing = np.zeros(read.tokens.shape, np.int32)
    return make_batch(read, stream("") if both else None, nothing, nothing, nothing, np.arange(len(nothing)),
                      nothing.shape[1])


@functools.cache
def _outputs(model: ModelConfig) -> Callable[[Any, Batch], dict[str, Any]]:
    """All that the heads give, in one compiled program: they share what is below them."""
    module, visibility = model.architecture.build(model, model.vocab_size, "float32"), model.architecture.visibility

    @jax.jit
    def outputs(parameters, batch):
        def apply(method):
            return module.apply({"params": parameters}, batch, visibility, train=False, method=method)

        found = {"logits": apply("__call__")} if model.vocabulary_head else {}
        if model.pooler:
            found["pooled"], sentence = apply("sentence")
            found |= {"sentence": sentence} if sentence is not None else {}
        if model.discriminator:
            found["replaced"] = apply("replaced")
        return found or {"hidden": apply("hidden")}

    return outputs


def our_outputs(model: ModelConfig, parameters: Any, batch: Batch) -> dict[str, np.ndarray]:
    """{logits, pooled, sentence, replaced}: what the model's heads give; {hidden} where it has none."""
    return {name: np.asarray(value) for name, value in _outputs(model)(parameters, batch).items()}
