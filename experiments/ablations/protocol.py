"""What the definitions of published ablations in configs/studies/ share: scales, data, and recipes.

bench  minutes on two cores            gpu  half an hour on one GPU            paper  the paper's own sizes
"""

import pathlib
from typing import Any

from arch_zoo.config import DataConfig, EvaluationConfig, ModelConfig, OptimizerConfig, RunConfig, TokenizerConfig
from arch_zoo.errors import UserError
from arch_zoo.registry import TASKS, did_you_mean
from arch_zoo.settings import override
from experiments.studies.config import Arm, Claim, PaperRow, PaperTable

SCALES = ("bench", "gpu", "paper")
_TEXTS = ("brown", "abc", "movie_reviews", "state_union", "webtext")  # 3.7 million words of English
_NO_TEXT = "the documentation that comes with Python stands in for the English text of the protocol"
_NO_PAIRS = "reversed texts of a made-up language stand in for the translations of the protocol"


def at(scale: str, **by_scale: Any) -> Any:
    """What a definition has for a scale. UserError for a scale that it does not have."""
    if scale not in by_scale:
        raise UserError(f"scale={scale}: this study has none of that name.{did_you_mean(scale, by_scale)} "
                        f"It has {', '.join(by_scale)}")
    return by_scale[scale]


def text_run(scale: str, data: str | None, words: str = "", changes: dict[str, Any] | None = None) \
        -> tuple[RunConfig, str]:
    """(a run on running text, what stands in for absent data). `words`: only the corpus of this name, of several."""
    corpus, stand_in = _text(scale, data, words)
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
             paper=RunConfig(
                 steps=1_000_000, batch_size=256, dtype="bfloat16",
                 model=ModelConfig(width=768, depth=12, heads=12, scan=True),
                 optimizer=OptimizerConfig(learning_rate=1e-4, warmup_steps=10_000, schedule="linear",
                                           final_fraction=0.0),
                 data=corpus.replace(length=512, tokenizer=TokenizerConfig(kind="bpe", vocab_size=32_000,
                                                                           sentinels=300))))
    return _finished(run, changes), stand_in


def pairs_run(scale: str, data: str | None, changes: dict[str, Any] | None = None) -> tuple[RunConfig, str]:
    """(an encoder-decoder that translates, what stands in for absent data)."""
    corpus, stand_in = _pairs(scale, data)
    run = at(scale,
             bench=RunConfig(
                 steps=400, batch_size=16, objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", width=128, depth=2, heads=4, activation="relu",
                                   position="rotary", residual_dropout=0.1),
                 optimizer=OptimizerConfig(learning_rate=3e-3, warmup_steps=40),
                 data=corpus.replace(length=128, tokenizer=TokenizerConfig(kind="bpe", vocab_size=2048, sentinels=1))),
             gpu=RunConfig(
                 steps=10_000, batch_size=64, dtype="bfloat16", objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", width=256, depth=4, heads=4, activation="relu",
                                   position="rotary", residual_dropout=0.2, scan=True),
                 optimizer=OptimizerConfig(learning_rate=1e-3, warmup_steps=400),
                 data=corpus.replace(length=256, tokenizer=TokenizerConfig(kind="bpe", vocab_size=8192, sentinels=1))),
             paper=RunConfig(
                 steps=100_000, batch_size=98, dtype="bfloat16", objective="translation",
                 model=ModelConfig(architecture="encoder_decoder", width=512, depth=6, heads=8, mlp_dim=2048,
                                   activation="relu", position="sinusoidal", placement="post", scale_embeddings=True,
                                   embedding_dropout=0.1, residual_dropout=0.1, scan=True),
                 optimizer=OptimizerConfig(learning_rate=7e-4, schedule="inverse_square_root", warmup_steps=4000,
                                           b2=0.98, epsilon=1e-9, weight_decay=0.0),
                 data=corpus.replace(length=256, tokenizer=TokenizerConfig(kind="bpe", vocab_size=37_000,
                                                                           sentinels=1))))
    return _finished(run, changes), stand_in


def _finished(run: RunConfig, changes: dict[str, Any] | None) -> RunConfig:
    """With the changes of a definition; it logs, evaluates and saves a few times whatever its length."""
    run = override(run, changes or {})
    quarter = max(1, run.steps // 4)
    return run.replace(log_every=max(1, run.steps // 40), evaluate_every=quarter,
                       checkpoint_every=min(2 * quarter, 5000), evaluate_batches=8)


def _text(scale: str, data: str | None, words: str) -> tuple[DataConfig, str]:
    if data is None:
        return at(scale, bench=(DataConfig(corpus="python_docs"), _NO_TEXT),
                  gpu=(DataConfig(corpus="tfds:lm1b"), ""), paper=(DataConfig(corpus="tfds:c4"), ""))
    root = _folder(data, "text")
    found = [path for name in ((words,) if words else _TEXTS) if (path := root / f"{name}.txt").is_file()]
    if not found:
        raise UserError(f"--data={data}: has none of {', '.join(f'{name}.txt' for name in _TEXTS)}, neither itself nor "
                        f"in text/; leave --data out for the built-in corpus")
    first, *others = map(str, found)
    return DataConfig(corpus=first, mixed_with=tuple(others)), ""


def _pairs(scale: str, data: str | None) -> tuple[DataConfig, str]:
    if data is None:
        return at(scale, bench=(DataConfig(corpus="parallel:synthetic:reverse"), _NO_PAIRS),
                  gpu=(DataConfig(corpus="parallel:tfds:ted_hrlr_translate/pt_to_en", text_field="pt,en"), ""),
                  paper=(DataConfig(corpus="parallel:tfds:wmt14_translate/de-en", text_field="en,de"), ""))
    root = _folder(data, "translation")
    if not (root / "multi30k_train.en").is_file():
        raise UserError(f"--data={data}: has no multi30k_train.en, neither itself nor in translation/; leave --data "
                        f"out for built-in pairs")
    return DataConfig(corpus=f"parallel:{root}/multi30k_*.en,{root}/multi30k_*.de"), ""


def _folder(data: str, below: str) -> pathlib.Path:
    root = pathlib.Path(data).expanduser()
    if not root.is_dir():
        raise UserError(f"--data={data}: no such folder")
    return root / below if (root / below).is_dir() else root


def classifying(data: str | None, learning: dict[str, Any]) -> tuple[dict[str, Any], str, str]:
    """(fields of a study that has models classify sentences after fine-tuning, the metric's key, the path of its
    options): SST-2 where its files are, else the packages of Python's documentation. `learning`: options of both.
    """
    if data is not None and any((root := _folder(data, "glue")).glob("sst2*.tsv")):
        options = {"task": "sst2", "examples": 2000, "length": 64, "epochs": 2, "learning_rate": 1e-3, **learning}
        task = TASKS.get("fine_tuned")(data=str(root), limit=800, learning=override(
            TASKS.get("fine_tuned")().learning, options))
        return {"metrics": (), "tasks": (task,)}, "fine_tuned/accuracy", "tasks.0.learning"
    options = override(EvaluationConfig().fine_tuning, learning)
    return {"metrics": ("classification",), "fine_tuning": options}, "classification/own", "fine_tuning"


def continued(noises: dict[str, dict[str, Any]], steps: int) -> tuple[Arm, ...]:
    """Arms that each begin with the parameters of a run of `steps` under a noise of their own, {name: overrides}, and
    one, "no pre-training", that begins with none. All go on alike, as the base of the study does.
    """
    arms = [Arm("no pre-training", {})]
    for name, overrides in noises.items():
        before = Arm(f"{name}, before", {**overrides, "steps": steps}, preparation=True)
        arms += [before, Arm(name, {}, starts_from=before.slug)]
    return tuple(arms)


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
