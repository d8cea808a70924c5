"""Flash attention in Pallas for GPUs, as it comes with JAX: segments that share a row cost it nothing.

JAX 0.12 says that the kernel's way to GPUs, Triton, will be removed from a later version.
"""

import dataclasses
import importlib.util

import jax
import jax.numpy as jnp

from arch_zoo.layers.kernels.base import Asked, Drop, Kernel
from arch_zoo.layers.placement import on_each_device
from arch_zoo.layers.visibility import Seen, Visibility
from arch_zoo.registry import KERNELS
from arch_zoo.settings import setting

BLOCK = 128  # queries and keys of one block; shorter streams are one block


@KERNELS.register("pallas")
@dataclasses.dataclass(frozen=True)
class Pallas(Kernel):
    """Self-attention, causal or bidirectional, with segment ids; nothing of size [q, k] is ever held."""

    platforms = ("gpu",)
    interpret: bool = setting(False, "computes each block by plain JAX, slowly, on any device: for tests")

    def refusal(self, asked: Asked) -> str | None:
        p = asked.pattern
        if not _is_there():
            return f"JAX {jax.__version__} has it no more"
        if not self.interpret and asked.platform not in self.platforms:
            return f"it runs on GPUs, and this is a {asked.platform}"
        if not self.interpret and asked.dtype not in ("bfloat16", "float16"):
            return f"it rounds products of float32, and dtype={asked.dtype}; set dtype=bfloat16"
        if asked.dropout:
            return "it holds no probabilities that could be dropped; set model.attention_dropout=0"
        if asked.bias is not None:
            return "it adds no bias to the logits"
        if p is None or p.crosses or p.window or p.visibility is Visibility.PREFIX:
            return "it knows causal and bidirectional self-attention only: no cache, window, prefix or second stream"
        if asked.queries % BLOCK and (asked.queries > BLOCK or asked.queries not in (16, 32, 64)):
            return f"the length, {asked.queries}, is neither 16, 32, 64 nor a multiple of {BLOCK}"
        if not 16 <= asked.head_dim <= 128:
            return f"heads have {asked.head_dim} entries, and it takes 16 to 128"
        if asked.devices_a_row > 1:
            return "heads lie on several devices (mesh, tensor); it is cut along the batch only"
        return None

    def __call__(self, q_bqhd: jax.Array, k_bkgd: jax.Array, v_bkgd: jax.Array, seen: Seen,
                 bias_bhqk: jax.Array | None, *, scale: float, drop: Drop | None) -> jax.Array:
        from jax.experimental.pallas.ops.gpu.attention import BlockSizes, mha

        p, length, group = seen.pattern, q_bqhd.shape[1], q_bqhd.shape[2] // k_bkgd.shape[2]
        block, small = min(BLOCK, length), min(32, length)
        sizes = BlockSizes(block_q=block, block_k=block, block_q_dkv=small, block_kv_dkv=small, block_q_dq=small,
                           block_kv_dq=small)

        def compute(q, k, v, segment_ids):
            return mha(q, k, v, segment_ids, scale, p.visibility is Visibility.CAUSAL, sizes, interpret=self.interpret)

        k_bkhd, v_bkhd = (jnp.repeat(x, group, axis=2) for x in (k_bkgd, v_bkgd))
        out_bqhd = on_each_device(compute)(q_bqhd, k_bkhd, v_bkhd, p.segment_ids_bq)
        # Padding sees padding in there: it has a segment of its own.
        return jnp.where((p.segment_ids_bq != 0)[:, :, None, None], out_bqhd, 0)


def _is_there() -> bool:
    try:
        return importlib.util.find_spec("jax.experimental.pallas.ops.gpu.attention") is not None
    except ModuleNotFoundError:  # a package around it
        return False
