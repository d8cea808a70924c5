"""What the definitions of published ablations in configs/studies/ share: scales, data, and recipes.

bench  minutes on two cores            gpu  half an hour on one GPU            paper  the paper's own sizes
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

from arch_zoo.config import DataConfig, EvaluationConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS, did_you_mean
from arch_zoo.settings import override
from arch_zoo.zoo import ZOO
from experiments.ablations import sources
from experiments.studies.config import Arm, Claim, PaperRow, PaperTable

SCALES = ("bench", "gpu", "paper")
_MADE_UP_WORDS = 400  # ids; the made-up pairs have too few words for two thousand
_ASKED: contextvars.ContextVar[dict[str, Any] | None] = contextvars.ContextVar("asked", default=None)


@contextlib.contextmanager
def changed_base(changes: dict[str, Any]) -> Iterator[None]:
    """While definitions are read: a person's own changes of the base, {path: value}, which its arms are then made from:
    a quarter of the steps is one of those that were asked for.
    """
    token = _ASKED.set(changes)
    try:
        yield
    finally:
        _ASKED.reset(token)


def at(scale: str, **by_scale: Any) -> Any:
    """What a definition has for a scale. UserError for a scale that it does not have."""
    if scale not in by_scale:
        raise UserError(f"scale={scale}: this study has none of that name.{did_you_mean(scale, by_scale)} "
                        f"It has {', '.join(by_scale)}")
    return by_scale[scale]


def text_run(scale: str, data: str | None, words: str = "", changes: dict[str, Any] | None = None, *,
             row: str | None = None, text: str = "the paper's text") -> tuple[RunConfig, str]:
    """(a run on running text, what stands in for absent data).

    words: only the corpus of this name, of several.
    row: what the zoo calls the model whose sizes and recipe, as far as they were published, are those at paper scale.
    text: what the paper reads.
    """
    corpus, called = sources.text(data, at(
        scale, bench=(DataConfig(corpus="python_docs"), "the documentation that comes with Python"),
        gpu=(DataConfig(corpus="tfds:lm1b"), "lm1b of TFDS"), paper=(DataConfig(corpus="tfds:c4"), "C4")), words)
    stand_in = sources.notice(called, at(scale, bench="WikiText-2", gpu="WikiText-103", paper=text))
    run = at(scale,
             bench=RunConfig(
                 steps=400, batch_size=16, model=ModelConfig(width=128, depth=2, heads=4, activation="relu",
                                                             position="rotary"),
                 optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=40),
                 data=corpus.replace(length=128, tokenizer=TokenizerConfig(vocab_size=2048, sentinels=100))),
             gpu=RunConfig(
                 steps=3000, batch_size=64, dtype="bfloat16",
                 model=ModelConfig(width=384, depth=8, heads=6, position="rotary", scan=True),
                 optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=200),
                 data=corpus.replace(length=512, tokenizer=TokenizerConfig(vocab_size=16384, sentinels=300))),
             paper=_published(row, RunConfig(
                 steps=1_000_000, batch_size=256, dtype="bfloat16",
                 model=ModelConfig(width=768, depth=12, heads=12, scan=True),
                 optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000, schedule="linear",
                                           final_fraction=0.0),
                 data=corpus.replace(length=512, tokenizer=TokenizerConfig(kind="bpe", vocab_size=32_000,
                                                                           sentinels=300)))))
    return _finished(run, changes), stand_in


def _published(row: str | None, run: RunConfig) -> RunConfig:
    """With what was published of a row of the zoo; the rest stays, and so does an objective that reads pairs, for
    which the zoo has the nearest one that reads text.
    """
    if row is None:
        return run
    model = ZOO.get(row)
    objective = run.objective if run.objective.reads_pairs else model.trains
    return override(run, {"model": model.model().replace(scan=run.model.scan), "objective": objective,
                          "data.tokenizer.vocab_size": model.switches["vocab_size"]}
                    | model.recipe.changes() | dict(model.system.also))


def t5_run(scale: str, data: str | None, words: str = "", changes: dict[str, Any] | None = None, *,
           row: str = "t5_table2_enc_dec") -> tuple[RunConfig, str]:
    """`text_run`, at paper scale as T5's ablations were trained: relative positions, RMSNorm, no biases, logits of
    attention that are not divided, Adafactor without decay or clipping, 2^16 tokens of C4 in a step. `row`: of the zoo.

    512 tokens of text go into a window, of which its noise makes somewhat less for the encoder; there it reads 512.
    """
    known = {"data.length": 512, "optimizer.weight_decay": 0.0, "optimizer.clip_norm": None,
             "data.tokenizer.sentinels": 300}  # there 100, too few where half of the tokens go one by one
    return text_run(scale, data, words, {**at(scale, bench={}, gpu={}, paper=known), **(changes or {})}, row=row,
                    text="C4")


def pairs_run(scale: str, data: str | None, changes: dict[str, Any] | None = None, *,
              pairs: str = "WMT14, English to German") -> tuple[RunConfig, str]:
    """(an encoder-decoder that translates, what stands in for absent data). `pairs`: what the paper translates."""
    corpus, called = sources.pairs(data, at(
        scale, bench=(DataConfig(corpus="parallel:synthetic:reverse"), "reversed texts of a made-up language"),
        gpu=(DataConfig(corpus="parallel:tfds:ted_hrlr_translate/pt_to_en", text_field="pt,en"),
             "TED talks, Portuguese to English"),
        paper=(DataConfig(corpus="parallel:tfds:wmt14_translate/de-en", text_field="en,de"),
               "WMT14, English to German")))
    stand_in = sources.notice(called, at(scale, bench="Multi30k", gpu="Multi30k", paper=pairs))
    run = at(scale,
             bench=RunConfig(
                 steps=400, batch_size=16, objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", width=128, depth=2, heads=4, activation="relu",
                                   position="rotary", residual_dropout=0.1),
                 optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=40),
                 data=corpus.replace(length=128, tokenizer=TokenizerConfig(
                     kind="bpe", vocab_size=_MADE_UP_WORDS if data is None else 2048, sentinels=1))),
             gpu=RunConfig(
                 steps=10_000, batch_size=64, dtype="bfloat16", objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", width=256, depth=4, heads=4, activation="relu",
                                   position="rotary", residual_dropout=0.2, scan=True),
                 optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=400),
                 data=corpus.replace(length=256, tokenizer=TokenizerConfig(kind="bpe", vocab_size=8192, sentinels=1))),
             paper=_published("transformer_base", RunConfig(
                 batch_size=98, dtype="bfloat16", objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", scan=True),
                 data=corpus.replace(length=256, tokenizer=TokenizerConfig(kind="bpe", vocab_size=37_000,
                                                                           sentinels=1)))))
    return _finished(run, changes), stand_in


def _finished(run: RunConfig, changes: dict[str, Any] | None) -> RunConfig:
    """With the changes of a definition, and a person's; it logs, evaluates and saves a few times whatever its length.
    """
    asked = _ASKED.get() or {}
    run = override(run, (changes or {}) | asked)
    quarter = max(1, run.steps // 4)
    return override(run.replace(log_every=max(1, run.steps // 40), evaluate_every=quarter,
                                checkpoint_every=min(2 * quarter, 5000), evaluate_batches=8), asked)


def classifying(data: str | None, learning: dict[str, Any], scale: str = "bench") -> tuple[dict[str, Any], str, str]:
    """(fields of a study that has models classify sentences after fine-tuning, the metric's key, the path of its
    options): at paper scale all of SST-2, from TFDS where --data has it not; at others a part of it where its files
    are, else the packages of Python's documentation. `learning`: options of all of them.
    """
    files = sources.labelled(data)
    if scale == "paper":
        files, limit = files or "tfds:glue/sst2", None
        options = {"batch_size": 32, "learning_rate": 3e-5, "schedule": "linear"}
    else:
        limit, options = 800, {"examples": 2000, "length": 64, "epochs": 2, "learning_rate": 1e-3}
    if files is None:
        return ({"metrics": ("classification",), "fine_tuning": override(EvaluationConfig().fine_tuning, learning)},
                "classification/own", "fine_tuning")
    task = TASKS.get("fine_tuned")
    task = task(data=files, limit=limit, learning=override(task().learning, {"task": "sst2", **options, **learning}))
    return {"metrics": (), "tasks": (task,)}, "fine_tuned/accuracy", "tasks.0.learning"


def continued(noises: dict[str, dict[str, Any]], before: dict[str, Any]) -> tuple[Arm, ...]:
    """Arms that each begin with the parameters of a run under a noise of their own, {name: overrides}, and one, "no
    pre-training", that begins with none. All go on alike, as the base of the study does. `before`: overrides of all
    runs that prepare, their steps among them.
    """
    arms = (arm for name, noise in noises.items() for arm in prepared(name, noise | before))
    return Arm("no pre-training", {}), *arms


def prepared(name: str, before: dict[str, Any], after: dict[str, Any] | None = None) -> tuple[Arm, Arm]:
    """(a run that only prepares, with these overrides; the arm that begins with its parameters, with its own)."""
    first = Arm(f"{name}, before", before, preparation=True)
    return first, Arm(name, after or {}, starts_from=first.slug)


def claims(source: str, metric: str, *rows: tuple, verified: bool = True) -> tuple[Claim, ...]:
    """Claims of one paper on one metric, each as (text, numbers, better arm, worse arm, expectation or null's band)."""
    made = []
    for text, numbers, better, worse, *expected in rows:
        how = expected[0] if expected else "holds"
        how = {"expectation": how} if isinstance(how, str) else {"expectation": "null", "band": how}
        made.append(Claim(text=text, source=source, numbers=numbers, metric=metric, better_arm=better,
                          worse_arm=worse, verified=verified, **how))
    return tuple(made)


REVERSES = "reverses at this scale"
NOT_INFORMATIVE = "not informative at this scale"
EXPECTATION = "an expectation, in no paper"  # as the source of a claim


def table(source: str, columns: tuple[str, ...], baseline: str, rows: dict[str, tuple[float, ...]],
          lower: bool = False, **about: Any) -> PaperTable:
    """A paper's table from {slug of the arm: its numbers}; `lower` numbers are better, or higher ones."""
    better = dict.fromkeys(columns, "lower" if lower else "higher")
    return PaperTable(source=source, columns=columns, baseline=baseline, better=better, **about, rows=tuple(
        PaperRow(arm, dict(zip(columns, values, strict=True))) for arm, values in rows.items()))
