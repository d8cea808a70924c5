"""Which kernel computes the attention of which variant, why the others do not, and, where they run, how fast.

    python -m benchmarks.kernels                      # what a GPU would use; differences and times where kernels run
    python -m benchmarks.kernels --length=4096 --out=kernels.md

For each variant: what `auto` takes on a GPU in training, and what each kernel says. A kernel that runs on this machine
is also held to einsum's results, and timed beside it: output and gradients in bfloat16, in turns, the fastest of a few
rounds. On a CPU that is the Pallas kernel in its interpreter, whose time means nothing and is not shown.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from absl import flags

from arch_zoo.errors import UserError
from arch_zoo.layers.kernels.automatic import Automatic
from arch_zoo.layers.kernels.base import Asked, Kernel
from arch_zoo.layers.kernels.cudnn import CuDNN
from arch_zoo.layers.kernels.einsum import Einsum
from arch_zoo.layers.kernels.pallas import Pallas
from arch_zoo.layers.visibility import Seen, Visibility, seen_cross, seen_self
from benchmarks.table import footnote, publish, reason_of, seconds_of, spread
from experiments import program

BATCH = flags.DEFINE_integer("batch", 8, "rows", lower_bound=1)
LENGTH = flags.DEFINE_integer("length", 1024, "tokens of a row", lower_bound=16)
HEADS = flags.DEFINE_integer("heads", 12, "heads, a multiple of 4", lower_bound=4)
HEAD_DIM = flags.DEFINE_integer("head_dim", 64, "entries of a head", lower_bound=8)
ROUNDS = flags.DEFINE_integer("rounds", 10, "rounds of timing, of which the fastest counts", lower_bound=1)
OUT = flags.DEFINE_string("out", None, "also write the table to this file")

KERNELS = (CuDNN(), Pallas())


@dataclasses.dataclass(frozen=True)
class Variant:
    """An attention that models of the zoo have."""

    name: str
    visibility: Visibility = Visibility.CAUSAL
    packed: bool = True
    window: int = 0
    groups: int = 1  # query heads of a key-value head
    bias: str | None = None
    dropout: bool = False
    crosses: bool = False
    dtype: str = "bfloat16"


VARIANTS = (
    Variant("causal, one text a row", packed=False),
    Variant("causal, packed"),
    Variant("causal, packed, grouped heads", groups=4),
    Variant("causal, a window, one text a row", packed=False, window=256),
    Variant("causal, a window, packed", window=256),
    Variant("bidirectional, one text a row", Visibility.BIDIRECTIONAL, packed=False),
    Variant("bidirectional, packed", Visibility.BIDIRECTIONAL),
    Variant("prefix, packed", Visibility.PREFIX),
    Variant("across streams, one text a row", Visibility.BIDIRECTIONAL, packed=False, crosses=True),
    Variant("across streams, packed", Visibility.BIDIRECTIONAL, crosses=True),
    Variant("causal, ALiBi", bias="fixed"),
    Variant("causal, T5's bias, one text a row", packed=False, bias="shared"),
    Variant("causal, T5's bias, packed", bias="learned"),
    Variant("causal, dropout", dropout=True),
    Variant("causal, float32", dtype="float32"),
)


def asked(variant: Variant, seen: Seen, platform: str) -> Asked:
    """What training with this variant asks of a kernel."""
    length = LENGTH.value
    return Asked(platform, variant.dtype, length, length, HEAD_DIM.value, seen.pattern, variant.bias, variant.dropout,
                 train=True)


def who_sees_whom(variant: Variant) -> Seen:
    """Two texts in each row and some padding, or one."""
    index = np.arange(LENGTH.value)
    first = 1 + (index > LENGTH.value // 3) if variant.packed else np.ones_like(index)
    row = jnp.asarray(np.where(index < LENGTH.value - LENGTH.value // 10, first, 0), jnp.int32)
    segment_ids = jnp.tile(row, (BATCH.value, 1))
    if variant.crosses:
        return seen_cross(segment_ids, segment_ids, not variant.packed)
    prefix = jnp.tile(jnp.asarray(index % (LENGTH.value // 2) < LENGTH.value // 8), (BATCH.value, 1))
    return seen_self(variant.visibility, segment_ids, prefix, variant.window, one_segment=not variant.packed)


def gradients(kernel: Kernel, variant: Variant):
    """A compiled program of attention: its output and its gradients, with who sees whom as part of the input."""
    def compute(q, k, v, bias, seen):
        def loss(q, k, v):
            out = kernel(q, k, v, seen, bias, scale=HEAD_DIM.value**-0.5, drop=None)
            return jnp.sum(jnp.sin(out.astype(jnp.float32))), out

        (_, out), grads = jax.value_and_grad(loss, (0, 1, 2), has_aux=True)(q, k, v)
        return out, grads

    return jax.jit(compute)


def measured(variant: Variant, kernels: list[Kernel], seen: Seen,
             timed: bool) -> dict[Kernel, tuple[float, list[float]] | str]:
    """{kernel: (largest difference from einsum as a share of einsum's largest value, seconds of each round, sorted), or
    why it failed}.
    """
    keys = jax.random.split(jax.random.key(0), 4)
    shape = (BATCH.value, LENGTH.value, HEADS.value, HEAD_DIM.value)
    of_keys = (*shape[:2], HEADS.value // variant.groups, HEAD_DIM.value)
    q, k, v = (jax.random.normal(key, size, variant.dtype)
               for key, size in zip(keys[:3], (shape, of_keys, of_keys), strict=True))
    bias = jax.random.normal(keys[3], (1, HEADS.value, LENGTH.value, LENGTH.value)) if variant.bias else None
    programs, results, found = {}, {}, {}
    for kernel in (Einsum(), *kernels):
        try:
            program = gradients(kernel, variant)
            results[kernel] = jax.block_until_ready(program(q, k, v, bias, seen))
            programs[kernel] = program
        except Exception as error:  # the others are measured nevertheless
            found[kernel] = reason_of(error)
    seconds: dict[Kernel, list[float]] = {kernel: [] for kernel in programs}
    for _ in range(ROUNDS.value if timed else 0):
        for kernel, compiled in programs.items():
            turn = seconds_of(lambda _, run=compiled: jax.block_until_ready(run(q, k, v, bias, seen)), 3, warm_up=0)
            seconds[kernel].append(turn[0])
    expected = results.get(Einsum())
    return found | {kernel: (_difference(expected, result) if Einsum() in results else float("nan"),
                             sorted(seconds[kernel])) for kernel, result in results.items()}


def _difference(expected, actual) -> float:
    def of(a, b):
        a, b = (np.asarray(x, np.float32) for x in (a, b))
        return float(np.abs(a - b).max() / np.abs(a).max())

    return max(jax.tree.leaves(jax.tree.map(of, expected, actual)))


def row(variant: Variant, notes: list[str], numbers: dict[str, dict]) -> list[str]:
    """What is said of one variant; reasons are numbers of `notes`, and the seconds of kernels go to `numbers`."""
    on_gpu, seen = jax.default_backend() == "gpu", who_sees_whom(variant)
    question = asked(variant, seen, "gpu")
    refusals = {kernel: kernel.refusal(question) for kernel in KERNELS}
    here = {CuDNN(): CuDNN(), Pallas(): Pallas()} if on_gpu else {Pallas(): Pallas(interpret=True)}
    able = [here[kernel] for kernel in KERNELS if refusals[kernel] is None and kernel in here]
    found = measured(variant, able, seen, timed=on_gpu) if able else {}
    numbers[variant.name] = {kernel.name: {"failure": one} if isinstance(one, str) else spread(one[1])
                             for kernel, one in found.items() if isinstance(one, str) or one[1]}

    def cell(kernel: Kernel) -> str:
        if reason := refusals[kernel]:
            return f"no {footnote(notes, reason)}"
        if kernel not in here:
            return "yes"
        one, plain = found[here[kernel]], found[Einsum()]
        if isinstance(one, str):
            return f"failed {footnote(notes, one)}"
        difference, seconds = one
        off = f"off by {difference:.0e}" if not isinstance(plain, str) else f"einsum failed {footnote(notes, plain)}"
        faster = f", {plain[1][0] / seconds[0]:.2f}×" if on_gpu and not isinstance(plain, str) else ""
        return off + faster + (f", {1e3 * seconds[0]:.2f} ms" if on_gpu else "")

    return [variant.name, Automatic().chosen(question).name, *map(cell, KERNELS)]


def main(arguments: list[str]) -> int | None:
    """One row for each variant."""
    if HEADS.value % 4:
        raise UserError(f"--heads={HEADS.value} is not a multiple of 4, and one of the variants has groups of 4")
    on_gpu, notes, numbers = jax.default_backend() == "gpu", [], {}
    rows = [row(variant, notes, numbers) for variant in VARIANTS]
    publish(f"Attention kernels, {BATCH.value} × {LENGTH.value} tokens, {HEADS.value} heads of {HEAD_DIM.value}, "
            f"bfloat16, output and gradients" + (", × einsum's speed" if on_gpu else "; Pallas in its interpreter, "
                                                 "cuDNN not run"),
            ["variant", "auto, on a GPU", *(kernel.name for kernel in KERNELS)], rows, OUT.value, notes, numbers)
    failed = any("failure" in one for found in numbers.values() for one in found.values())
    return program.FAILED if failed else None


if __name__ == "__main__":
    program.run(main, __doc__)
