"""Vaswani et al. 2017, Table 3: heads, sizes, dropout, smoothing and positions of the Transformer.

Paper: Vaswani et al. 2017, section 6.2.
Reason: the oldest ablation of the architecture; some rows hold at any size, larger models are known to be no better on
  thirty thousand sentences, and rows say so beforehand. Row B shrinks keys alone; here a head is of one size, so ours
  shrinks values too and stands beside no number. Not here: 4 and 16 heads, 4 and 8 layers, the big model, and BLEU.
At paper scale, other than the paper: losses are of the last weights, not of an average of checkpoints; a batch is 98
  rows of 256 tokens, not sentences of about one length.
Command: python -m experiments.reproduce --table=vaswani2017.t3 --scale=bench --data=FOLDER
Expected: docs/ablations/vaswani2017_t3.md
"""

from arch_zoo.config import RunConfig
from experiments.ablations.protocol import EXPECTATION, REVERSES, at, claims, pairs_run, table
from experiments.studies.config import Arm, StudyConfig

PAPER = {"base": (4.92, 25.8), "a_1_head": (5.29, 24.9), "a_32_heads": (5.01, 25.4), "c_fewer_layers": (6.11, 23.7),
         "c_half_the_width": (5.75, 24.5), "c_twice_the_width": (4.66, 26.0), "c_mlp_half": (5.12, 25.4),
         "c_mlp_double": (4.75, 26.2), "d_no_dropout": (5.77, 24.6), "d_more_dropout": (4.95, 25.5),
         "d_no_smoothing": (4.67, 25.3), "d_smoothing_0_2": (5.47, 25.7), "e_learned_positions": (4.92, 25.7)}


def _rows(base: RunConfig) -> dict[str, dict]:
    """{slug as in PAPER: overrides}, sizes as fractions of the base's where the paper's are."""
    model = base.model
    return {
        "base": {}, "a 1 head": {"model.heads": 1}, "a 32 heads": {"model.heads": 32},
        "b smaller heads": {"model.head_dim": model.size_of_head // 4},
        "c fewer layers": {"model.depth": max(1, model.depth // 3)},
        "c half the width": {"model.width": model.width // 2, "model.mlp_dim": model.size_of_mlp},
        "c twice the width": {"model.width": model.width * 2, "model.mlp_dim": model.size_of_mlp},
        "c mlp half": {"model.mlp_dim": model.size_of_mlp // 2},
        "c mlp double": {"model.mlp_dim": model.size_of_mlp * 2},
        "d no dropout": {"model.residual_dropout": 0.0, "model.embedding_dropout": 0.0},
        "d more dropout": {"model.residual_dropout": 2 * model.residual_dropout,
                           "model.embedding_dropout": 2 * model.embedding_dropout},
        "d no smoothing": {"objective.label_smoothing": 0.0}, "d smoothing 0.2": {"objective.label_smoothing": 0.2},
        "e learned positions": {"model.position": "learned"}}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = pairs_run(scale, data, changes={
        "model.position": "sinusoidal", "model.scale_embeddings": True, "model.embedding_dropout": 0.1,
        "model.mlp_dim": at(scale, bench=512, gpu=1024, paper=2048)})
    metric, source = "loss/translation", "Vaswani et al. 2017, Table 3"
    small = "holds" if scale == "paper" else REVERSES
    once = REVERSES if scale == "bench" else "holds"  # where a text is hardly read twice, nothing is learnt by heart
    return StudyConfig(
        title=f"The Transformer's Table 3, at {scale} scale",
        question="Which of the Transformer's own choices matter: heads, size of keys, layers, width, dropout, label "
                 "smoothing, positions?",
        base=base, arms=tuple(Arm(name, changes) for name, changes in _rows(base).items()), reference="base",
        match="steps", metrics=(), losses=("translation",), scale=scale, stand_in=stand_in,
        varies=("model.heads", "model.head_dim", "model.depth", "model.width", "model.mlp_dim", "model.position",
                "model.residual_dropout", "model.embedding_dropout", "objective.label_smoothing"),
        claims=claims(source, metric,
                      ("Learned positions are as good as sinusoids (row E)", "perplexity 4.92 and 4.92", "base",
                       "e_learned_positions", 0.02),
                      ("Label smoothing costs perplexity (row D)", "4.92 against 4.67", "d_no_smoothing", "base"),
                      ("More smoothing costs more (row D)", "5.47 against 4.92", "base", "d_smoothing_0_2"),
                      ("One head is worse than several (row A)", "5.29 against 4.92", "base", "a_1_head"),
                      ("Far too many heads are worse (row A)", "5.01 against 4.92", "base", "a_32_heads"),
                      ("Dropout helps (row D)", "4.92 against 5.77", "base", "d_no_dropout", once),
                      ("Twice the dropout is a little worse (row D)", "4.95 against 4.92", "base", "d_more_dropout",
                       "holds" if scale == "paper" else REVERSES),
                      ("Fewer layers are worse (row C)", "6.11 against 4.92", "base", "c_fewer_layers", small),
                      ("A wider model is better (row C)", "4.66 against 4.92", "c_twice_the_width", "base", small)) +
        claims(EXPECTATION, metric, ("Smaller heads, keys and values, are worse", "", "base", "b_smaller_heads")),
        paper=table(f"{source}: WMT14 English–German, development set", ("Perplexity", "BLEU"), "base", PAPER,
                    beside={"Perplexity": metric}).replace(better={"Perplexity": "lower", "BLEU": "higher"}))
