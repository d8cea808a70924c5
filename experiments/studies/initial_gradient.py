"""Gradients before the first step, block by block (Xiong et al. 2020, section 3.3 and figure 3)."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from arch_zoo.config import DataConfig, EvaluationConfig
from arch_zoo.tensor_files import flatten_tree

if TYPE_CHECKING:  # it imports this
    from experiments.studies.metrics import Evaluated


def describe(evaluation: EvaluationConfig, data: DataConfig) -> list[dict[str, Any]]:
    """What the report says of them."""
    of = "norm of the gradient of the loss of the first batch by the feed-forward weights"
    return [{"key": "initial_gradient/last", "title": "First gradient, last block", "better": "lower", "unit": "norm",
             "chance": None, "about": f"{of} of the last block before the output, before any training"},
            {"key": "initial_gradient/ratio", "title": "First gradient, last to first block", "better": "lower",
             "unit": "ratio", "chance": None, "about": f"the {of} of the last block, by that of the first one"}]


def measure(run: "Evaluated") -> dict[str, dict[str, Any]]:
    """{key: entry}: of the run's own initialisation, which is that of its seed."""
    norms = block_norms(run)
    count = run.setup.config.batch_size
    return {"initial_gradient/last": {"value": float(norms[-1]), "count": count, "profile": norms.tolist()},
            "initial_gradient/ratio": {"value": float(norms[-1] / norms[0]), "count": count}}


def block_norms(run: "Evaluated") -> np.ndarray:
    """float [depth]: for each block the norm of the mean loss's gradient by its feed-forward weights."""
    setup = run.setup
    batch = setup.train.batch_at(0)

    @jax.jit
    def gradient(batch, seed):  # as inputs, so that all seeds share the compiled program
        def loss(p):
            total, weight = setup.config.objective.loss(setup.model, p, batch, setup.visibility, train=False)
            return total / weight
        return jax.grad(loss)(setup.state_of(batch, seed).parameters)

    found = {path: leaf for path, leaf in flatten_tree(gradient(batch, setup.knobs.seed)).items()
             if "/feed_forward/" in path}
    stack = min(path.split("/")[0] for path in found)  # of an encoder-decoder the decoder, which is next to the loss
    squares = [np.square(np.asarray(leaf, np.float64)).reshape(len(leaf), -1).sum(axis=1)
               for path, leaf in found.items() if path.startswith(f"{stack}/")]
    return np.sqrt(np.sum(squares, axis=0))
