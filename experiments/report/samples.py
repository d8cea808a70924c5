"""What each objective saw and predicted, made ready to be looked at."""

import dataclasses
import json
from typing import Any

from experiments.inspection.pieces import piece
from experiments.report.record import Study

_ARMS = 6    # with more, arms that see text alike are shown once
_BEFORE = 4  # pieces shown up to and including the one where a prediction is made


@dataclasses.dataclass(frozen=True)
class Prediction:
    """One predicted piece."""

    context: tuple[str, ...]
    target: str
    predicted: str
    probability: float

    @property
    def right(self) -> bool:
        return self.target == self.predicted


@dataclasses.dataclass(frozen=True)
class Sample:
    """One held-out example of one arm: {stream: ((piece, whether it is marked), …)}, and some predictions."""

    arm: str
    objective: str
    seed: int
    streams: dict[str, tuple[tuple[str, bool], ...]]
    predictions: tuple[Prediction, ...]


def samples(study: Study) -> list[Sample]:
    """The first sample of the first finished cell of each arm; of many, of one for each objective and architecture."""
    found, seen = [], set()
    for slug in study.names:
        config = study.record["configs"][slug]
        kind = json.dumps([config["objective"], config.get("model", {}).get("architecture")], sort_keys=True)
        if len(study.names) > _ARMS and kind in seen:
            continue
        cell = next((cell for cell in study.cells_of(slug) if cell.done and cell.result.get("samples")), None)
        if cell is not None:
            seen.add(kind)
            found.append(_sample(study, slug, cell.seed, cell.result["samples"][0]))
    return found


def _sample(study: Study, slug: str, seed: int, record: dict[str, Any]) -> Sample:
    streams = {stream["name"]: tuple((piece(token), i in stream["marked"]) for i, token in enumerate(stream["tokens"]))
               for stream in record["streams"]}
    predicted_in = [text for text, _ in list(streams.values())[-1]]

    def prediction(p: dict[str, Any]) -> Prediction:
        end = p["position"] + 1
        return Prediction(tuple(predicted_in[max(0, end - _BEFORE):end]), piece(p["target"]), piece(p["predicted"]),
                          p["probability"])

    return Sample(slug, study.objective(slug), seed, streams, tuple(map(prediction, record["predictions"])))
