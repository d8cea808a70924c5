"""What training carries from step to step."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from arch_zoo.layers.visibility import Visibility
from arch_zoo.models.architecture import Batch


@struct.dataclass
class TrainState:
    """Step, parameters, optimizer state; everything else is a function of the config and the step."""

    step: jax.Array
    parameters: Any
    optimizer_state: Any


def initialise(model: nn.Module, optimizer: optax.GradientTransformation, batch: Batch, visibility: Visibility,
               seed: int) -> TrainState:
    """The state before the first step. Parameters depend on the seed and on the names of modules, on nothing else."""
    parameters = model.init(jax.random.key(seed), batch, visibility, train=False)["params"]
    return TrainState(step=jnp.zeros((), jnp.int32), parameters=parameters,
                      optimizer_state=optimizer.init(parameters))
