"""What every test runs under: CPU with eight simulated devices, and compiled programs kept between runs."""

import os

from tests.xla import QUICK_TO_COMPILE, simulated_devices

os.environ["JAX_PLATFORMS"] = "cpu"
# A worker of pytest-xdist inherits them: set twice, they would make other cache keys.
os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([
    *os.environ.get("XLA_FLAGS", "").split(), simulated_devices(8), *QUICK_TO_COMPILE]))

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
