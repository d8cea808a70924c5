"""Linen modules whose parameters cost nothing to look up."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn


class Module(nn.Module):
    """A Linen module that reads parameters which are there as they are.

    Flax traces a parameter's initializer at every `apply` to compare shapes, a stack's being a whole block
    (benchmarks/NOTES.md). Parameters that come from elsewhere are compared where they come in: checkpoints and
    imported files against `models.abstract`.
    """

    @nn.nowrap
    def param(self, name: str, init_fn: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """The parameter of that name; where there is none yet, in `init`, one that `init_fn(key, *arguments)` draws."""
        if self.has_variable("params", name):
            return self.get_variable("params", name)
        return super().param(name, init_fn, *arguments, **keywords)
