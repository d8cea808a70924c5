"""Which token comes next: the most probable one, or one drawn from what is left of the distribution."""

import dataclasses

import jax
import jax.numpy as jnp

from arch_zoo.settings import FieldError, Settings, setting


@dataclasses.dataclass(frozen=True)
class Sampling(Settings):
    """How tokens are chosen, one after another. The cuts are made in the order in which they stand here."""

    repetition_penalty: float = setting(1.0, "divides the logits above 0 of tokens that were there before, multiplies "
                                             "those below (CTRL; Keskar et al. 2019); 1: none", low=1.0)
    temperature: float = setting(0.0, "divides the logits; 0: always the most probable token", low=0.0)
    top_k: int = setting(0, "only the so many most probable tokens; 0: all", low=0)
    top_p: float = setting(1.0, "only the most probable tokens that together have this probability (Holtzman et al. "
                                "2020)", low=0.0, high=1.0)
    min_p: float = setting(0.0, "only tokens with at least this share of the highest probability (Nguyen et al. 2024)",
                           low=0.0, high=1.0)
    seed: int = setting(0, "seeds the draws; each is a function of (seed, row, step)", low=0)

    def check(self) -> None:
        cuts = {"top_k": self.top_k > 0, "top_p": self.top_p < 1, "min_p": self.min_p > 0, "seed": self.seed > 0}
        idle = [name for name, given in cuts.items() if given and self.temperature == 0]
        if idle:
            raise FieldError(idle[0], "nothing is drawn at temperature=0; set a temperature above it, or leave it out")

    def remaining(self, logits_bv: jax.Array, seen_bv: jax.Array) -> jax.Array:
        """The logits [b, v] of what may be drawn, −inf elsewhere; `seen_bv`: bool, tokens that were there before."""
        if self.repetition_penalty != 1:
            weakened = jnp.where(logits_bv > 0, logits_bv / self.repetition_penalty,
                                 logits_bv * self.repetition_penalty)
            logits_bv = jnp.where(seen_bv, weakened, logits_bv)
        if self.temperature == 0:
            return logits_bv
        logits_bv = logits_bv / self.temperature
        if self.top_k:
            least_b1 = jax.lax.top_k(logits_bv, min(self.top_k, logits_bv.shape[1]))[0][:, -1:]
            logits_bv = jnp.where(logits_bv < least_b1, -jnp.inf, logits_bv)
        if self.top_p < 1:
            logits_bv = jnp.where(logits_bv < _least_of_share(logits_bv, self.top_p), -jnp.inf, logits_bv)
        if self.min_p > 0:
            floor_b1 = logits_bv.max(axis=1, keepdims=True) + jnp.log(self.min_p)
            logits_bv = jnp.where(logits_bv < floor_b1, -jnp.inf, logits_bv)
        return logits_bv

    def choose(self, logits_bv: jax.Array, seen_bv: jax.Array, row_ids_b: jax.Array, step: jax.Array) -> jax.Array:
        """int [b]: the tokens of one step."""
        remaining_bv = self.remaining(logits_bv, seen_bv)
        if self.temperature == 0:
            return jnp.argmax(remaining_bv, axis=1)

        def draw(row_id, logits_v):
            key = jax.random.fold_in(jax.random.fold_in(jax.random.key(self.seed), row_id), step)
            return jax.random.categorical(key, logits_v)

        return jax.vmap(draw)(row_ids_b, remaining_bv)


def _least_of_share(logits_bv: jax.Array, share: float) -> jax.Array:
    """[b, 1]: the smallest logit among the fewest tokens that together have this share of the probability."""
    sorted_bv = -jnp.sort(-logits_bv, axis=1)
    probabilities_bv = jax.nn.softmax(sorted_bv, axis=1)
    before_bv = jnp.cumsum(probabilities_bv, axis=1) - probabilities_bv  # of all that are more probable
    kept_b = jnp.maximum((before_bv < share).sum(axis=1), 1)
    return jnp.take_along_axis(sorted_bv, kept_b[:, None] - 1, axis=1)
