"""Memory that runs out: which errors say so, and what becomes of them."""

import errno

import jax.errors
import pytest

from arch_zoo.errors import out_of_memory

XLA = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 12345678 bytes."


@pytest.mark.parametrize(("error", "size"), [
    (MemoryError("Unable to allocate 2.50 GiB for an array with shape (4,)"), "2.50 GiB"), (MemoryError(), None),
    (jax.errors.JaxRuntimeError(XLA), "12345678 bytes"), (OSError(errno.ENOMEM, "Cannot allocate memory"), None),
    (jax.errors.JaxRuntimeError("INTERNAL: Failed to load a kernel: CUDA_ERROR_OUT_OF_MEMORY: out of memory"), None),
    (jax.errors.JaxRuntimeError("INTERNAL: cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), None),
    (jax.errors.JaxRuntimeError("INTERNAL: cuBLAS: CUBLAS_STATUS_ALLOC_FAILED"), None)])
def test_each_way_to_run_out_of_memory_is_one_line_with_what_to_turn(error, size):
    line = out_of_memory(error)
    assert line.startswith("out of memory") and "\n" not in line
    assert all(option in line for option in ("batch_size", "accumulate", "model.remat", "data.length"))
    assert (size or "could not be had") in line if size else "could not be had" not in line


@pytest.mark.parametrize("error", [ValueError("memory"), OSError(errno.ENOSPC, "full"), RuntimeError("out of memory?"),
                                   RuntimeError("RESOURCE_EXHAUSTED: too many requests")])
def test_other_errors_are_not(error):
    assert out_of_memory(error) is None


def test_a_program_may_say_what_to_turn():
    assert out_of_memory(MemoryError(), "lower --length").endswith(": lower --length")
