"""The optimizer and its schedule, from optax."""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from arch_zoo.config import OptimizerConfig


def make_schedule(config: OptimizerConfig, steps: int, peak: jax.Array | None = None) -> optax.Schedule:
    """Learning rate by step: linear warm-up to the peak, then the decay that the config names.

    The warm-up reaches the peak at step `warmup_steps` and is never zero, so the first step already moves. `peak`:
    instead of the config's learning rate.
    """
    peak = config.learning_rate if peak is None else peak
    final, warmup = peak * config.final_fraction, config.warmup_steps
    decay_steps = max(1, steps - warmup)
    decays = {
        "cosine": lambda: optax.cosine_decay_schedule(peak, decay_steps, alpha=config.final_fraction),
        "linear": lambda: optax.linear_schedule(peak, final, decay_steps),
        "inverse_square_root": lambda: lambda step: peak * (1 + jnp.maximum(step, 0) / max(warmup, 1)) ** -0.5,
        "constant": lambda: optax.constant_schedule(peak),
    }
    decay = decays[config.schedule]()
    if not warmup:
        return decay
    return optax.join_schedules([optax.linear_schedule(peak / warmup, peak, max(1, warmup - 1)), decay], [warmup])


def decay_mask(parameters: Any) -> Any:
    """True for matrices and embeddings, False for biases, gains and other vectors; covers every parameter.

    Stacked parameters (below "blocks") have one more axis, the block's, which does not count. Attention biases are
    [heads, size], so a bias is also known by its name.
    """
    def decays(path, value):
        names = [key.key for key in path]
        axes = value.ndim - ("blocks" in names)
        return axes >= 2 and not names[-1].endswith("bias")

    return jax.tree_util.tree_map_with_path(decays, parameters)


def make_optimizer(config: OptimizerConfig, steps: int, peak: jax.Array | None = None) -> optax.GradientTransformation:
    """Clipping by global norm, the update rule, decoupled weight decay, the schedule, with another peak if given."""
    schedule = make_schedule(config, steps, peak)
    rules = {
        "adamw": lambda: [optax.scale_by_adam(config.b1, config.b2, config.epsilon)],
        "adafactor": lambda: [optax.scale_by_factored_rms(), optax.clip_by_block_rms(1.0),
                              optax.scale_by_param_block_rms()],
        "sgd": lambda: [optax.trace(config.b1)],
    }
    clip = [optax.clip_by_global_norm(config.clip_norm)] if config.clip_norm is not None else []
    return optax.chain(*clip, *rules[config.kind](), optax.add_decayed_weights(config.weight_decay, decay_mask),
                       optax.scale_by_learning_rate(schedule))
