"""Xiong et al. 2020, Theorem 1: the last block's gradient before training, by the place of the norms and the depth.

Paper: Xiong et al. 2020 (arXiv 2002.04745), section 3.3.
Reason: why norms behind each branch need warm-up: the theorem's gradients, measured without any training.
At paper scale, other than the paper: WMT14 of TFDS into German, where it has IWSLT14 out of German. Depths are ours.
Command: python -m experiments.reproduce --table=xiong2020.gradients --scale=bench --data=FOLDER
Expected: docs/ablations/xiong2020_gradients.md
"""

from experiments.ablations.protocol import EXPECTATION, at, claims, pairs_run
from experiments.studies.config import Arm, StudyConfig


def get_config(scale: str = "bench", data: str | None = None) -> StudyConfig:
    base, stand_in = pairs_run(scale, data, changes={
        "model.initializer": "xavier_uniform", "model.scale_residual_init": False, "model.scan": True,
        **at(scale, bench={"model.width": 64}, gpu={}, paper={})}, pairs="IWSLT14, German to English")
    arms = tuple(Arm(f"{placement}, {depth} blocks", {"model.placement": placement, "model.depth": depth})
                 for placement in ("post", "pre", "sandwich") for depth in (2, 4, 6, 12, 24))
    last, theorem = "initial_gradient/last", "O(d √(ln d / L)) with norms before, O(d √(ln d)) with norms after"
    return StudyConfig(
        title=f"First gradients by the place of norms and the depth, at {scale} scale",
        question="How does the gradient of the last block of an encoder-decoder, before any training, depend on the "
                 "number of blocks with norms behind each branch (post), before it (pre), or both (sandwich)?",
        base=base.replace(steps=0, evaluate_batches=1), arms=arms, reference="post_6_blocks", match="none", seeds=10,
        varies=("model.placement", "model.depth"), metrics=("initial_gradient",), scale=scale, stand_in=stand_in,
        claims=claims("Xiong et al. 2020, Theorem 1", last,
                      ("With norms before, the last block's gradient falls as blocks are added", theorem,
                       "pre_24_blocks", "pre_2_blocks"),
                      ("With norms after, it does not depend on how many there are", theorem,
                       "post_24_blocks", "post_2_blocks", 0.1),
                      ("In a deep stack it is smaller with norms before", theorem, "pre_24_blocks", "post_24_blocks"),
                      verified=False) +
        claims(EXPECTATION, last, ("With norms on both sides it falls as blocks are added", "",
                                   "sandwich_24_blocks", "sandwich_2_blocks")))
