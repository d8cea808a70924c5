"""What is trained: a model of the zoo, an objective, shapes. Ours and the peers' start from the same weights."""

import dataclasses
import operator
from typing import Any

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import override
from arch_zoo.zoo import ZOO
from benchmarks.table import median

_PLAIN = {"model.embedding_dropout": 0.0, "model.attention_dropout": 0.0, "model.residual_dropout": 0.0,
          "model.mlp_dropout": 0.0, "model.pooler": False, "model.sentence_classes": 0, "accumulate": 1,
          "data.segments": False,
          "optimizer.kind": "adamw", "optimizer.clip_norm": 1.0, "optimizer.weight_decay": 0.1}
_4X256 = {"model.depth": 4, "model.width": 256, "model.heads": 4, "model.mlp_dim": 1024, "model.vocab_size": 4096,
          "batch_size": 32, "data.length": 128}


# Sizes that any CPU computes at once: whether a case can be built does not hang on them.
SMALL = {"model.depth": 1, "model.width": 32, "model.heads": 2, "model.head_dim": 16, "model.mlp_dim": 64,
         "model.vocab_size": 256, "batch_size": 2, "data.length": 32}
# What may be wanted: whether at least so much, or at most, and how tables write the bound, and what was found.
MEASURES = {"faster": (operator.ge, "≥ {:.1f}×", "{:.2f}×"),
            "memory": (operator.le, "≤ {:.1f} of its memory", "{:.2f}"),
            "tokens": (operator.ge, "≥ {:,} tokens/s", "{:,.0f}"), "mfu": (operator.ge, "≥ {:.0%} MFU", "{:.0%}")}


@dataclasses.dataclass(frozen=True)
class Case:
    """A model of the zoo, `name`, with fields of its run changed, and what is wanted of its step.

    `wanted`: {contender: {measure of ours, beside it where it is another's: bound}}, in this dtype and on devices whose
    name has `device` in it.
    """

    title: str
    name: str
    changes: dict[str, Any]
    wanted: dict[str, dict[str, float]]
    device: str = "H200"
    dtype: str = "bfloat16"

    def config(self, dtype: str, changes: dict[str, Any] | None = None) -> RunConfig:
        """The run; nothing of it but the model, the objective, the optimizer and shapes is read."""
        return override(ZOO.get(self.name).run(), _PLAIN | self.changes | {"dtype": dtype} | (changes or {}))

    def verdicts(self, contender: str, measured: dict[str, float], device: str, dtype: str) -> str:
        """What is wanted beside this contender, with whether it is reached; where it was not wanted it is not judged.
        """
        judged = self.device in device and dtype == self.dtype
        elsewhere = f"not judged, but on {self.device} in {self.dtype}"
        found = []
        for measure, bound in self.wanted.get(contender, {}).items():
            compare, form, _ = MEASURES[measure]
            verdict = ("reached" if compare(measured[measure], bound) else "not reached") if judged else elsewhere
            found.append(f"{form.format(bound)}: {verdict}")
        return "; ".join(found)


_LESS = {"memory": 0.8}
_AHEAD = {"eager": {"faster": 1.0}, "compiled": {"faster": 1.0}}
_200K = {"ours": {"tokens": 200_000}, **_AHEAD}


def _on_cpu(eager: float, compiled: dict[str, float] | None = None) -> dict[str, Any]:
    return {"wanted": {"eager": {"faster": eager} | _LESS, "compiled": (compiled or {}) | _LESS}, "device": "cpu",
            "dtype": "float32"}


CASES = {
    "decoder": Case("GPT-2, 4 × 256", "gpt2_small", {**_4X256, "model.max_len": 128}, **_on_cpu(1.4, {"faster": 1.1})),
    "encoder": Case("BERT, 4 × 256", "bert_base", {**_4X256, "objective": "masked_lm", "model.max_len": 128},
                    **_on_cpu(1.8)),
    "encoder_decoder": Case("T5, 4 × 256", "t5_small", {
        **_4X256, "model.encoder_depth": 4, "model.head_dim": 64, "objective": "span_corruption"}, **_on_cpu(1.4)),
    "gpt2_small": Case("GPT-2 124M", "gpt2_small", {"batch_size": 32, "data.length": 1024},
                       {"ours": {"tokens": 500_000, "mfu": 0.45}, **_AHEAD}),
    "gpt2_medium": Case("GPT-2 350M", "gpt2_medium", {"batch_size": 16, "data.length": 1024}, _200K),
    "bert_base": Case("BERT base", "bert_base", {"objective": "masked_lm", "batch_size": 64, "data.length": 512},
                      _200K),
    # 569 tokens are a source of 512 and a target of 114.
    "t5_base": Case("T5 base", "t5_base", {"objective": "span_corruption", "batch_size": 64, "data.length": 569},
                    _200K),
}
ON_CPU = ("decoder", "encoder", "encoder_decoder")
ON_GPU = ("gpt2_small", "gpt2_medium", "bert_base", "t5_base")


def measured(found: dict[str, dict[str, Any]], contender: str, ours: str = "ours") -> dict[str, float]:
    """{measure: value} of a contender's step; of another's than ours what it says of ours.

    found: {contender: what `benchmarks.train_step` keeps of it}, none of these two failed but perhaps ours.
    """
    one, our = found[contender], found[ours]
    middle = median(one["seconds"])
    values = {"tokens": one["tokens"] / middle}
    if contender == ours:
        values |= {"mfu": one["model_flops"] / middle / one["peak_flops"],
                   "executed": one["flops"] / middle / one["peak_flops"]}
    elif "failure" not in our:
        values |= {"faster": middle / median(our["seconds"]), "memory": our["peak_bytes"] / one["peak_bytes"]}
    return values


def find_case(name: str) -> Case:
    """UserError where there is none of that name."""
    if name not in CASES:
        raise UserError(f"--model={name}: there is none.{did_you_mean(name, CASES)} Known: {', '.join(CASES)}")
    return CASES[name]


def random_batch(config: RunConfig):
    """A batch, as NumPy arrays, of random tokens, corrupted as the objective does."""
    import numpy as np

    from arch_zoo.data.tokenizers.base import nominal_vocabulary
    from arch_zoo.examples import Window
    from arch_zoo.objectives.base import Seeds
    from arch_zoo.training.batches import laid_out

    vocabulary = nominal_vocabulary(config.model.vocab_size, sentinels=100)
    rows, length = config.batch_size, config.data.length
    ordinary = np.flatnonzero(~vocabulary.is_special).astype(np.int32)
    tokens = np.random.default_rng(0).choice(ordinary, (rows, length + 1))
    index = np.arange(rows)
    window = Window(tokens=tokens, segment_ids=np.ones_like(tokens), index=index, place=index,
                    visit=np.zeros_like(index))
    example = config.objective.prepare(window, vocabulary, Seeds(0))
    return laid_out(config, example, index, vocabulary)
