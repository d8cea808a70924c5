"""What every test runs under: CPU with eight simulated devices, and compiled programs kept between runs.

ARCH_ZOO_TEST_GPU=1 leaves the machine's GPU to JAX, for tests that need one: tests/layers/test_kernels_on_gpus.py. What
else is run in the same process is then run on it, too.
"""

import os
import resource

from tests.xla import QUICK_TO_COMPILE, simulated_devices

if os.environ.get("ARCH_ZOO_TEST_GPU") != "1":
    os.environ["JAX_PLATFORMS"] = "cpu"
    # A worker of pytest-xdist inherits them: set twice, they would make other cache keys.
    os.environ["XLA_FLAGS"] = " ".join(dict.fromkeys([
        *os.environ.get("XLA_FLAGS", "").split(), simulated_devices(8), *QUICK_TO_COMPILE]))

import jax
import pytest

from arch_zoo.files import cache_directory
from experiments.program import collect_rarely

collect_rarely()

jax.config.update("jax_compilation_cache_dir", str(cache_directory(None) / "compiled_tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def pytest_configure(config):
    """pytest-xdist keeps the order that the next function makes: its own puts modules of few tests last."""
    config.option.loadscopereorder = False


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """What takes longest goes first, so that no worker is left with it at the end: slow tests by the minutes that their
    mark says, then modules that start programs.

    For --dist loadgroup: a worker gets a whole module, whose fixtures are made once, but slow tests one by one.
    """
    def order(item):
        slow, values = item.get_closest_marker("slow"), vars(item.module).values()
        starts_programs = any(getattr(value, "__module__", None) == "tests.runs" for value in values)
        return -slow.kwargs.get("minutes", 0) if slow else 0, not starts_programs

    items.sort(key=order)
    for item in items if config.pluginmanager.hasplugin("xdist") else ():
        if item.get_closest_marker("slow") is None or "cluster" in item.fixturenames:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """They stay in memory for a module; from 2 GiB on they are then given up, and read from disk where needed again."""
    yield
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 2 << 20:  # KiB
        jax.clear_caches()


@pytest.fixture(scope="session")
def vocabulary():
    """64 ids: five special ones, 16 sentinels, text."""
    from tests.toy import toy_vocabulary

    return toy_vocabulary()
