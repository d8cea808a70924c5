"""Initial weights of projections and embeddings."""

import math

import flax.linen as nn

from arch_zoo.config import ModelConfig


def kernel_initializer(config: ModelConfig, *, residual_branches: int = 0) -> nn.initializers.Initializer:
    """The initializer of a projection [inputs, outputs].

    Args:
      residual_branches: for projections into the residual stream the number of branches that add to it, by whose
        root GPT-2 divides the initial weights (Radford et al. 2019, section 2.3); 0 elsewhere.
    """
    shrink = math.sqrt(residual_branches) if residual_branches and config.scale_residual_init else 1.0
    std = config.initializer_std
    made = {
        "normal": lambda: nn.initializers.normal(std / shrink),
        "truncated_normal": lambda: nn.initializers.truncated_normal(std / shrink, lower=-2.0, upper=2.0),
        "xavier_uniform": lambda: nn.initializers.variance_scaling(1.0 / shrink**2, "fan_avg", "uniform"),
        "fan_in": lambda: nn.initializers.variance_scaling(1.0 / shrink**2, "fan_in", "truncated_normal"),
    }
    return made[config.initializer]()


def embedding_initializer(config: ModelConfig) -> nn.initializers.Initializer:
    """Tables of embeddings [entries, width]: the config's deviation, or width**-0.5 for the fan-based initializers.

    Tables whose rows are multiplied by the root of the width start at width**-0.5 too (Vaswani et al. 2017, 3.4).
    """
    by_fan = config.initializer in ("xavier_uniform", "fan_in") or config.scale_embeddings
    return nn.initializers.normal(config.width**-0.5 if by_fan else config.initializer_std)
