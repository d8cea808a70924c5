"""Studies made up on the spot, for tests of the report: grids and lists of arms with known effects."""

import itertools
import json
import pathlib
import random
from collections.abc import Callable
from typing import Any

from arch_zoo.files import write_json_atomic, write_text_atomic

LOSS = {"key": "bits_per_byte", "title": "Bits per byte", "better": "lower", "unit": "bits/byte", "chance": None,
        "about": "of held-out windows"}
SCORE = {"key": "pairs", "title": "Minimal pairs", "better": "higher", "unit": "accuracy", "chance": 0.5,
         "about": "share of sentences that score above a spoilt copy"}


def product(**factors: list) -> list[dict[str, Any]]:
    """The overrides of all combinations; '__' in a name stands for the dot."""
    paths = [name.replace("__", ".") for name in factors]
    return [dict(zip(paths, values, strict=True)) for values in itertools.product(*factors.values())]


def slug_of(overrides: dict[str, Any]) -> str:
    return "_".join(f"{path.split('.')[-1]}_{value}".replace(".", "_") for path, value in overrides.items()) or "base"


def make(workdir: pathlib.Path, arms: list[dict[str, Any]], levels: Callable[[dict], dict[str, float]], *,
         seeds: int = 3, noise: float = 0.01, cost: Callable[[dict], float] = lambda _: 1e12, metrics=(LOSS, SCORE),
         salt: str = "", **record: Any) -> pathlib.Path:
    """Write the directory of a finished study: `levels` gives an arm's true values, `cost` its FLOPs.

    Another `salt` draws other noise; what the arms of a seed share stays.
    """
    slugs = [slug_of(overrides) for overrides in arms]
    varies = list(dict.fromkeys(path for overrides in arms for path in overrides))
    ledger = {slug: {"params": int(cost(overrides) / 1e6), "non_embedding_params": int(cost(overrides) / 2e6),
                     "flops_per_token": cost(overrides) / 2e5, "flops": cost(overrides), "tokens": 200_000,
                     "loss_tokens": 200_000, "steps": 100} for slug, overrides in zip(slugs, arms, strict=True)}
    made = {"name": "grid", "title": "A grid", "question": "What does each factor do?", "command": "python -m …",
            "arms": [{"name": slug.replace("_", " "), "slug": slug, "overrides": overrides}
                     for slug, overrides in zip(slugs, arms, strict=True)],
            "varies": varies, "match": "tokens", "seeds": list(range(seeds)), "reference": slugs[0],
            "metrics": list(metrics), "claims": [], "cells": "cells/{arm}/seed_{seed}",
            "configs": {slug: _config(overrides) for slug, overrides in zip(slugs, arms, strict=True)},
            "asserted_equal": {"steps": 100},
            "differs": {path: {slug: overrides.get(path) for slug, overrides in zip(slugs, arms, strict=True)}
                        for path in varies}, "ledger": ledger, "environment": {"jax": "0"}}
    write_json_atomic(workdir / "study.json", made | record)
    for slug, overrides in zip(slugs, arms, strict=True):
        for seed in range(seeds):
            _cell(workdir / "cells" / slug / f"seed_{seed}", _noisy(levels(overrides), salt + slug, seed, noise),
                  _config(overrides))
    return workdir


def _config(overrides: dict[str, Any]) -> dict[str, Any]:
    config = {"steps": 100, "batch_size": 8, "data": {"corpus": "text", "length": 64, "cache_dir": None},
              "objective": {"name": "causal_lm"}, "optimizer": {"learning_rate": 0.001},
              "model": {"depth": 2, "width": 32, "position": {"name": "rotary", "theta": 1e4},
                        "architecture": {"name": "decoder_only"}}}
    for path, value in overrides.items():
        place, *above = reversed(path.split("."))
        inner = config
        for part in reversed(above):
            inner = inner[part]
        inner[place] = {"name": value} if isinstance(inner.get(place), dict) and isinstance(value, str) else value
    return config


def _noisy(levels: dict[str, float], slug: str, seed: int, noise: float) -> dict[str, float]:
    """A part of the noise is the seed's, the same in all arms: pairing takes it out."""
    own, shared = random.Random(f"{slug} {seed}"), random.Random(seed).gauss(0, 3 * noise)
    return {key: value + shared + own.gauss(0, noise) for key, value in levels.items()}


def _cell(directory: pathlib.Path, values: dict[str, float], config: dict[str, Any]) -> None:
    start = next(iter(values.values()))
    lines = [{"step": step, "train/loss": start + 4 / step} for step in range(5, 101, 5)]
    lines += [{"step": step, "eval/loss": start + 0.1 + 4 / step} for step in (50, 100)]
    write_text_atomic(directory / "metrics.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    write_json_atomic(directory / "config.json", config)
    write_json_atomic(directory / "result.json", {
        "steps": 100, "tokens": 200_000, "loss_tokens": 200_000.0, "seconds": 60.0, "train_seconds": 30.0,
        "compile_seconds": 4.0,
        "peak_memory_bytes": 1 << 28, "metrics": {key: {"value": value, "count": 200} for key, value in values.items()},
        "samples": []})
