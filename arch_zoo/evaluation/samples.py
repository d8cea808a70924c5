"""What an objective sees and predicts, for a person to look at."""

from typing import Any

import jax
import numpy as np

from arch_zoo.training.setup import Setup


def sample(setup: Setup, parameters: Any, row: int = 0, predictions: int = 12) -> dict[str, Any]:
    """One held-out example as JSON: its streams in pieces, the objective's own ones marked, and predictions."""
    batch = jax.tree.map(lambda x: x[row:row + 1], setup.evaluation.evaluation_batch_at(0))
    apply = jax.jit(lambda p, b: setup.model.apply({"params": p}, b, setup.visibility, train=False))
    probabilities = np.asarray(jax.nn.softmax(apply(parameters, batch)[0], axis=-1))
    pieces = setup.data.tokenizer.pieces
    carries = np.flatnonzero(batch.loss_weights[0])
    shown = carries[np.linspace(0, len(carries) - 1, min(predictions, len(carries))).astype(int)]
    positions = np.arange(len(probabilities)) if batch.loss_positions is None else batch.loss_positions[0]

    def prediction(n: int) -> dict[str, Any]:
        best = int(probabilities[n].argmax())
        return {"position": int(positions[n]), "target": pieces([int(batch.targets[0, n])])[0],
                "predicted": pieces([best])[0], "probability": float(probabilities[n, best])}

    named = [("source", batch.source), ("stream", batch.stream)]
    return {"streams": [_stream(name, stream, pieces) for name, stream in named if stream is not None],
            "predictions": [prediction(int(n)) for n in shown]}


def _stream(name: str, stream: Any, pieces) -> dict[str, Any]:
    real = stream.segment_ids[0] != 0
    return {"name": name, "tokens": pieces(stream.tokens[0][real].tolist()),
            "marked": np.flatnonzero(stream.origin[0][real] < 0).tolist()}
