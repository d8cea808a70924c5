"""Xiong et al. 2020: does a Transformer need warm-up, and is it the place of the norms?

Paper: Xiong et al. 2020 (arXiv 2002.04745), sections 3 and 4.
Reason: gradients at the start explain why; xiong2020.gradients has them by depth, without any training.
At paper scale, other than the paper: WMT14 of TFDS into German, where its Figure 2 has IWSLT14 out of German; no BLEU.
Command: python -m experiments.reproduce --table=xiong2020.preln --scale=bench --data=FOLDER
Expected: docs/ablations/xiong2020_preln.md
"""

from experiments.ablations.protocol import at, claims, pairs_run
from experiments.studies.config import Arm, StudyConfig


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = pairs_run(scale, data, changes={
        "model.initializer": "xavier_uniform", "model.scale_residual_init": False,
        **at(scale, bench={"steps": 200, "model.width": 64, "model.depth": 6, "optimizer.warmup_steps": 80},
             gpu={"model.depth": 6, "optimizer.warmup_steps": 4000},
             paper={"optimizer.warmup_steps": 4000, "optimizer.learning_rate": 1e-3})},
        pairs="IWSLT14, German to English")
    rates = at(scale, bench=(1e-3, 4e-3), gpu=(5e-4, 1e-3), paper=(5e-4, 1e-3))
    arms = [Arm(f"{placement}, {'warm-up' if warmup else 'no warm-up'}, {rate:g}",
                {"model.placement": placement, "optimizer.warmup_steps": warmup, "optimizer.learning_rate": rate})
            for placement in ("post", "pre") for warmup in (base.optimizer.warmup_steps, 0) for rate in rates]
    post_warm, post_cold, pre_warm, pre_cold = (arm.slug for arm in arms[1::2])
    loss, source = "loss/translation", "Xiong et al. 2020, Figure 2 and section 4"
    return StudyConfig(
        title=f"Norms before or after, warm-up or none, at {scale} scale",
        question="Does a deep encoder-decoder with its norms behind each branch (post) fail without warm-up, and one "
                 "with norms before (pre) not?",
        base=base, arms=tuple(arms), reference=pre_warm, match="steps",
        varies=("model.placement", "optimizer.warmup_steps", "optimizer.learning_rate"),
        metrics=("initial_gradient",), losses=("translation",), scale=scale, stand_in=stand_in,
        claims=(*claims(source, loss,
                        ("Without warm-up, norms after fail or lag behind",
                         "BLEU 8.45 against about 34 (IWSLT14, Adam, 1e-3)", post_warm, post_cold),
                        ("Without warm-up, norms before are ahead of norms after", "in the figure",
                         pre_cold, post_cold),
                        ("Norms before do without warm-up", "in the figure", pre_warm, pre_cold, 0.1), verified=False),
                *claims("Xiong et al. 2020, Theorem 1", "initial_gradient/last", (
                    "The last block's first gradient is smaller with norms before",
                    "O(d √(ln d / L)) against O(d √(ln d))", pre_warm, post_warm), verified=False)))
