"""What people tell the lm-evaluation-harness about a run and about what it writes, in its words and in ours."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from arch_zoo.errors import UserError
from arch_zoo.generation.sampling import Sampling
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import FieldError, Settings, from_dict, setting

_ROWS_OF_ITS_OWN = (None, 1, "1", "auto")  # --batch_size where nobody said it, and where nobody wants to
_DEVICE_OF_ITS_OWN = (None, "cuda:0")      # --device where nobody said it


@dataclasses.dataclass(frozen=True)
class Arguments(Settings):
    """--model_args."""

    workdir: str | None = setting(None, "directory of the run (required)")
    objective: str | None = setting(None, "the objective it is asked by; none: that it was trained with")
    pll: Literal["original", "within_word"] | None = setting(
        None, "of models that have no likelihood from left to right: pseudo-log-likelihoods, with each token masked "
              "alone, or with the later ones of its word as well")
    length: int = setting(128, "tokens in a window of loglikelihood_rolling", low=1)
    max_gen_toks: int = setting(256, "tokens written at most, where a task does not say", low=1)
    tokens_per_batch: int = setting(4096, "tokens scored at a time", low=1)
    rows: int = setting(16, "texts written at a time", low=1)

    @classmethod
    def of(cls, given: Mapping[str, Any], added: Mapping[str, Any]) -> "Arguments":
        """From --model_args, and from what the harness adds to them: flags of its own, said or not."""
        values = {**added, **given}
        values.pop("trust_remote_code", None)  # it is of the data sets; the harness adds it to every model
        if (device := values.pop("device", None)) not in _DEVICE_OF_ITS_OWN:
            raise UserError(f"device={device}: JAX takes the accelerator it finds, else the CPU; set JAX_PLATFORMS")
        if values.pop("max_batch_size", None) is not None:
            raise UserError("max_batch_size: batches are not searched for here; give --model_args tokens_per_batch=N")
        if (rows := values.pop("batch_size", None)) not in _ROWS_OF_ITS_OWN:
            if not str(rows).isdecimal():
                raise UserError(f"batch_size={rows}: expected the number of texts written at a time, or auto")
            values = {"rows": int(rows), **values}
        values |= {name: str(values[name]) for name in ("workdir", "objective") if values.get(name) is not None}
        try:
            found = from_dict(cls, values)
        except FieldError as error:
            raise UserError(f"--model_args {error.path}: {error.problem}") from None
        if found.workdir is None:
            raise UserError("--model_args workdir=DIR is required: the directory of the run")
        return found


class Generation(NamedTuple):
    """How a text is to be written."""

    max_tokens: int
    sampling: Sampling
    stops: tuple[str, ...]


_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")  # names of one thing, first wins
_DRAWS = ("temperature", "top_k", "top_p", "min_p", "seed")  # of Sampling: idle where nothing is drawn
_KNOWN = ("until", *_LIMITS, "do_sample", *_DRAWS, "repetition_penalty")


def generation(given: Mapping[str, Any], max_tokens: int) -> Generation:
    """A task's generation_kwargs, or --gen_kwargs, as we understand them; UserError where we do not.

    Drawn at temperature=1 where only do_sample=True is said; greedily with do_sample=False, whatever else is.
    """
    for name in given:
        if name not in _KNOWN:
            raise UserError(f"gen_kwargs {name}: not understood.{did_you_mean(name, _KNOWN)} Known: "
                            f"{', '.join(_KNOWN)}")
    given = {name: value for name, value in given.items() if value is not None}
    draws = given.get("temperature", 1 if given.get("do_sample") else 0) != 0 and given.get("do_sample", True)
    chosen = {"temperature": 1.0} if draws else {}
    chosen |= {name: given[name] for name in ("repetition_penalty", *(_DRAWS if draws else ())) if name in given}
    try:
        most = next((_tokens(name, given[name]) for name in _LIMITS if name in given), max_tokens)
        return Generation(most, from_dict(Sampling, chosen), _stops(given.get("until", ())))
    except FieldError as error:
        raise UserError(f"gen_kwargs {error.path}: {error.problem}") from None


def _tokens(name: str, value: Any) -> int:
    if not isinstance(value, int | float) or value < 1 or value % 1:
        raise FieldError(name, f"expected a number of tokens, at least 1, got {value!r}")
    return int(value)


def _stops(until: Any) -> tuple[str, ...]:
    stops = (until,) if isinstance(until, str) else until
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
        raise FieldError("until", f"expected strings at which to stop, got {until!r}")
    return tuple(stop for stop in stops if stop)
