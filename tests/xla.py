"""Flags of XLA under which tests run. Read before JAX is imported; nothing here imports it."""

import importlib.metadata

# Tests compile much and compute little: without optimisation, and without the emitters that take most of the compile
# time, the suite takes a tenth of the time when nothing is cached. A flag that XLA does not know ends the process.
QUICK_TO_COMPILE = ["--xla_backend_optimization_level=0"]
if importlib.metadata.version("jaxlib").startswith("0.10."):
    QUICK_TO_COMPILE += ["--xla_cpu_use_fusion_emitters=false", "--xla_cpu_parallel_codegen_split_count=1"]


def simulated_devices(count: int) -> str:
    """The flag for so many devices on one CPU."""
    return f"--xla_force_host_platform_device_count={count}"
