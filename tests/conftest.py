"""What every test runs under: CPU with eight simulated devices, and compiled programs kept between runs."""

import os

os.environ["JAX_PLATFORMS"] = "cpu"
# Tests compile much and compute little: without optimisation, and without the emitters that take most of the compile
# time, the suite takes a tenth of the time when nothing is cached.
# A worker of pytest-xdist inherits them: set twice, they would make other cache keys.
os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([
    *os.environ.get("XLA_FLAGS", "").split(), "--xla_force_host_platform_device_count=8",
    "--xla_backend_optimization_level=0", "--xla_cpu_use_fusion_emitters=false"]))

import jax
import pytest

from arch_zoo.files import cache_directory

jax.config.update("jax_compilation_cache_dir", str(cache_directory(None) / "compiled_tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@pytest.fixture(scope="session")
def vocabulary():
    """64 ids: five special ones, 16 sentinels, text."""
    from tests.toy import toy_vocabulary

    return toy_vocabulary()
