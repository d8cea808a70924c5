"""GLU variants, Table 1: does a gate in the feed-forward beat any activation without one?

Paper: Shazeer 2020 (arXiv 2002.05202).
Reason: eight feed-forwards of one number of parameters, each at its own best learning rate.
At paper scale, other than the paper: the rate rises for 10,000 steps, where the paper's is constant, and does not fall
  to 0 in the last tenth.
Command: python -m experiments.reproduce --table=glu2020.t1 --scale=bench --data=FOLDER
Expected: docs/ablations/glu2020_t1.md
"""

from experiments.ablations.protocol import at, claims, t5_run, table
from experiments.studies.config import Arm, StudyConfig, Tuning

PLAIN = {"ReLU": "relu", "GELU": "gelu", "Swish": "silu"}
GATED = {"GLU": "sigmoid", "Bilinear": "identity", "GEGLU": "gelu", "SwiGLU": "silu", "ReGLU": "relu"}
PAPER = {"relu": (1.997, 1.677), "gelu": (1.983, 1.679), "swish": (1.994, 1.683), "glu": (1.982, 1.663),
         "bilinear": (1.960, 1.648), "geglu": (1.942, 1.633), "swiglu": (1.944, 1.636), "reglu": (1.953, 1.645)}


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = t5_run(scale, data, changes={
        "model.mlp_bias": False,
        **at(scale, bench={"model.mlp_dim": 384, "steps": 400}, gpu={"model.mlp_dim": 1536},
             # without dropout; 568 tokens of text become 511 to read, where the paper's are 512, and 114 to write
             paper={f"model.{part}_dropout": 0.0 for part in ("embedding", "attention", "mlp", "residual")}
             | {"steps": 65_536, "data.length": 568})})
    narrow = base.model.mlp_dim * 2 // 3  # three matrices of this size have as many parameters as two of the other
    arms = [Arm(name, {"model.activation": kind}) for name, kind in PLAIN.items()]
    arms += [Arm(name, {"model.activation": kind, "model.gated": True, "model.mlp_dim": narrow})
             for name, kind in GATED.items()]
    metric, source = f"loss/{base.objective.name}", "Shazeer 2020, Table 1"
    rate = base.optimizer.learning_rate
    rates = at(scale, bench=(rate / 2, rate, rate * 2), gpu=(rate / 2, rate, rate * 2), paper=())
    tuned = ", each at the best of three learning rates" if rates else ""
    return StudyConfig(
        title=f"GLU variants, at {scale} scale",
        question=f"With as many parameters and steps{tuned}: which feed-forward?",
        base=base, arms=tuple(arms), varies=("model.activation", "model.gated", "model.mlp_dim"), reference="relu",
        match="steps", metrics=(), losses=(base.objective,), scale=scale, stand_in=stand_in,
        tuning=Tuning(rates=rates),
        claims=claims(source, metric,
                      ("A gated GELU beats GELU", "1.942 against 1.983 (0.005) after 65,536 steps", "geglu", "gelu"),
                      ("A gated Swish beats Swish", "1.944 against 1.994 (0.003)", "swiglu", "swish"),
                      ("A gated ReLU beats ReLU", "1.953 against 1.997 (0.005)", "reglu", "relu"),
                      ("A gate without any activation beats ReLU", "1.960 against 1.997", "bilinear", "relu"),
                      ("Between ReLU and Swish there is nothing", "1.997 against 1.994", "swish", "relu", 0.01)),
        paper=table(f"{source}: T5-base, span corruption on C4; log-perplexity, the standard deviation of four runs is "
                    f"0.003 to 0.010", ("65,536 steps", "524,288 steps"), "relu", PAPER, lower=True,
                    beside={"65,536 steps": metric}, deviations={"65,536 steps": 0.005}))
