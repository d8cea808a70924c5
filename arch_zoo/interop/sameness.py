"""When two configs are the same function: what remains of a config once all that cannot change a logit is put aside."""

from typing import Any

from arch_zoo.config import ModelConfig
from arch_zoo.models.abstract import plain
from arch_zoo.settings_view import flatten

# How a model starts, is trained and is run.
_NO_FUNCTION = {"initializer", "initializer_std", "scale_residual_init", "embedding_dropout", "attention_dropout",
                "mlp_dropout", "residual_dropout", "scan", "scan_unroll", "remat", "remat_keeps",
                "position.std", "attention_kernel"}


def resolved(model: ModelConfig) -> ModelConfig:
    """The model with every size that follows from others written out."""
    return model.replace(head_dim=model.size_of_head, kv_heads=model.key_value_heads, mlp_dim=model.size_of_mlp,
                         encoder_depth=model.encoder_depth or model.depth)


def what_is_computed(model: ModelConfig) -> dict[str, Any]:
    """{dotted path: value} of the fields that a model's logits depend on, defaults written out.

    Two models with equal results here, and equal parameters, are one function.
    """
    c = resolved(plain(model))
    longest = max(c.depth, c.encoder_depth)
    c = c.replace(windows=tuple(c.windows[i % len(c.windows)] for i in range(longest)) if any(c.windows) else ())
    flat = {path: value for path, value in flatten(c).items() if path not in _NO_FUNCTION}
    one_stack = c.architecture.stacks == 1
    idle = {"max_len": not c.position.needs_max_len, "norm_bias": c.norm == "rms_norm", "encoder_depth": one_stack,
            "embedding_projection": c.embedding_dim is None, "share_stacks": one_stack}
    no_head = ("head_transform", "logits_bias", "tied_embeddings", "scale_logits")
    idle |= dict.fromkeys(no_head, not c.vocabulary_head)
    stretch = flat.get("position.stretch")
    if stretch in ("none", "linear"):
        idle |= dict.fromkeys(("position.original_len", "position.slow", "position.fast"), True)
    idle |= {"position.factor": stretch == "none", "position.attention_factor": stretch != "yarn"}
    if flat.get("position.local_theta", 0) is None:
        flat["position.local_theta"] = flat["position.theta"]
    if not any(c.windows):
        idle["position.local_theta"] = True
    return {path: value for path, value in flat.items() if not idle.get(path)}
