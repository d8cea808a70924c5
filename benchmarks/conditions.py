"""What a benchmark was measured on: the command, versions, device and processor, without anything of the machine's own.
"""

import importlib.metadata
import pathlib
import platform
import re
import subprocess
import sys
from collections.abc import Sequence

from arch_zoo.errors import UserError
from arch_zoo.machine import usable_cores
from experiments import program

_OF_GPUS = ("jax-cuda", "nvidia-cuda-runtime", "nvidia-cudnn")  # what packages are called that bring CUDA and cuDNN


def conditions(device: str | None = None, libraries: Sequence[str] = ()) -> str:
    """A sentence. `device`: the kind of it, where another process measured; `libraries`: those that are compared with.
    """
    if device is None:
        import jax

        device = jax.devices()[0].device_kind
    installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    names = ["jax", "flax", "numpy", *(name for name in libraries if name in installed)]
    on_gpu = "" if device == "cpu" else _of_gpu(installed)
    return (f"`{program.command()}`; {device} ({processor()}), {cores()}; Python {platform.python_version()}, "
            f"{', '.join(f'{name} {installed[name]}' for name in names)}{on_gpu}.")


def _of_gpu(installed: dict[str, str]) -> str:
    """Versions of CUDA and cuDNN, of all that are installed, and of the driver."""
    versions = [f"{name} {version}" for name, version in sorted(installed.items()) if name.startswith(_OF_GPUS)]
    driver = pathlib.Path("/proc/driver/nvidia/version")
    if driver.is_file() and (found := re.search(r"\b\d+\.\d+(\.\d+)?\b", driver.read_text())):
        versions.append(f"driver {found[0]}")
    return "".join(f", {version}" for version in versions)


def cores() -> str:
    """How many this process may use."""
    count = len(usable_cores())
    return f"{count} core{'s' if count != 1 else ''}"


def processor(path: pathlib.Path = pathlib.Path("/proc/cpuinfo")) -> str:
    """The model as the system knows it, which on a virtual machine is little, and the widest vectors it has."""
    try:
        lines = dict(re.split(r"\s*:\s*", line, maxsplit=1) for line in path.read_text().splitlines() if ":" in line)
    except OSError:
        return platform.machine()
    flags = lines.get("flags", "").split()
    model = re.sub(r"\((R|TM)\)| @.*", "", lines.get("model name", platform.machine()), flags=re.IGNORECASE)
    vectors = next((flag for flag in ("avx512f", "avx2", "avx", "sse2") if flag in flags), None)
    return f"{model}, {vectors}" if vectors else model


def device_elsewhere(platforms: str | None = None) -> tuple[str, str]:
    """(kind, platform) of JAX's first device, asked in another process: a GPU that this one held would be missing to
    the benchmarks. `platforms`: what JAX_PLATFORMS should say. UserError where JAX has none.
    """
    code = (f"import jax; {platforms!r} and jax.config.update('jax_platforms', {platforms!r}); d = jax.devices()[0]; "
            "print(d.device_kind); print(d.platform)")
    kind, found = python(code, "JAX finds no device").splitlines()[-2:]
    return kind, found


def python(code: str, complaint: str, *arguments: str) -> str:
    """What a program in a process of its own prints; UserError, the complaint and its last line, where it fails."""
    ended = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    if ended.returncode:
        # JAX without CUDA raises an AssertionError that says nothing, and then nothing is added.
        said = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise UserError(complaint if said.isidentifier() else f"{complaint}: {said}")
    return ended.stdout
