"""How branches join the residual stream: the one place that knows about norm placement."""

from collections.abc import Callable

import flax.linen as nn
import jax

from arch_zoo.config import ModelConfig
from arch_zoo.layers.dropout import Dropout
from arch_zoo.layers.norms import make_norm


class Residual(nn.Module):
    """Adds branches f, g, … to the stream x:

        pre        x + f(norm(x))                      GPT-2; a final norm closes the stack
        post       norm(x + f(x))                      Transformer 2017, BERT
        sandwich   x + norm(f(norm(x)))                CogView; a final norm closes the stack
        parallel   x + f(norm(x)) + g(norm(x)) + …     GPT-J, Falcon-7B: one norm feeds all branches of a block

    Dropout falls on what is added, before the sum.
    """

    config: ModelConfig

    @nn.compact
    def __call__(self, x_btd: jax.Array, *branches: Callable[[jax.Array], jax.Array], example_ids_b: jax.Array,
                 train: bool) -> jax.Array:
        placement = self.config.placement
        inner_btd = x_btd if placement == "post" else make_norm(self.config, "norm")(x_btd)
        added_btd = sum(branch(inner_btd) for branch in branches)
        if placement == "sandwich":
            added_btd = make_norm(self.config, "norm_out")(added_btd)
        added_btd = Dropout(self.config.residual_dropout, name="dropout")(added_btd, example_ids_b, train=train)
        out_btd = x_btd + added_btd
        return make_norm(self.config, "norm")(out_btd) if placement == "post" else out_btd
