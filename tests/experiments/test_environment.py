"""The environment in which XLA is fast: what is set, what the user's own settings keep, how it is turned off."""

import ast
import os
import subprocess
import sys
import types

import pytest

from arch_zoo.training import workdir
from experiments.environment import fast_environment
from tests.runs import ROOT

MACHINE = """
import os, sys
os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
from arch_zoo.training.workdir import _describe_machine
print(_describe_machine())
"""
CACHE = """
import sys
from experiments import program
program.use_compilation_cache(sys.argv[1])
import jax
print(jax.config.jax_compilation_cache_dir, jax.config.jax_persistent_cache_min_compile_time_secs)
"""
PROBE = """
import os, sys
from absl import flags
from experiments import environment
flags.FLAGS(sys.argv)
environment.restart_in_fast_environment()
print(os.environ.get("XLA_FLAGS"), os.environ.get("GLIBC_TUNABLES"), environment.fast_environment() == dict(os.environ))
"""


def probe(*arguments: str, **variables: str) -> str:
    """What a program sees that restarts as ours do, begun in an environment without ours."""
    bare = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "GLIBC_TUNABLES")}
    return subprocess.run([sys.executable, "-c", PROBE, *arguments], cwd=ROOT, text=True, check=True,
                          capture_output=True, env=bare | variables).stdout.strip()


def test_a_program_starts_anew_in_it_once():
    seen = probe()
    assert "--xla_cpu_prefer_vector_width=512" in seen and "glibc.malloc.hugetlb=1" in seen and seen.endswith("True")


def test_what_the_user_has_set_stays():
    seen = probe(XLA_FLAGS="--xla_cpu_prefer_vector_width=256 --xla_dump_to=x", GLIBC_TUNABLES="glibc.malloc.check=0")
    assert seen == "--xla_cpu_prefer_vector_width=256 --xla_dump_to=x glibc.malloc.check=0 True"


def test_one_flag_turns_it_off_here_and_in_what_is_started():
    assert probe("--nofast_environment") == "None None True"


@pytest.mark.parametrize("switch", ["0", None])
def test_processes_that_are_started_are_told(monkeypatch, switch):
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    if switch:
        monkeypatch.setenv("ARCH_ZOO_FAST_ENVIRONMENT", switch)
    assert ("GLIBC_TUNABLES" in fast_environment()) == (switch is None)


@pytest.mark.parametrize(("variables", "seen"), [
    ({}, "ours/compiled 0.5"), ({"JAX_COMPILATION_CACHE_DIR": "theirs"}, "theirs 0.5"),
    ({"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "3"}, "ours/compiled 3.0")])
def test_what_the_user_says_of_compiled_programs_goes_before(variables, seen):
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_COMP", "JAX_PERS"))}
    assert subprocess.run([sys.executable, "-c", CACHE, "ours"], cwd=ROOT, text=True, check=True, capture_output=True,
                          env=bare | variables).stdout.strip() == seen


@pytest.mark.skipif(sys.platform != "linux", reason="cores and threads are Linux's to tell")
@pytest.mark.parametrize(("variables", "threads"), [({}, 1), ({"NPROC": "3"}, 3)])
def test_environment_json_says_with_how_many_threads_xla_computes_and_what_it_was_told(variables, threads):
    """As many as the process may use cores, unless NPROC says otherwise."""
    told = {"XLA_FLAGS": "--xla_cpu_prefer_vector_width=256", "GLIBC_TUNABLES": "", "JAX_PLATFORMS": "cpu"}
    bare = {name: value for name, value in os.environ.items() if name not in ("NPROC", "PJRT_NPROC")}
    seen = ast.literal_eval(subprocess.run([sys.executable, "-c", MACHINE], cwd=ROOT, text=True, check=True,
                                           capture_output=True, env=bare | told | variables).stdout)
    assert seen == {"device": "cpu", "devices": 1, "cores": 1, "threads": threads,
                    "xla_flags": told["XLA_FLAGS"], "glibc_tunables": ""}


class Gpu:
    """What JAX says of one."""

    platform, device_kind = "gpu", "NVIDIA H100 80GB HBM3"
    client = types.SimpleNamespace(platform_version="PJRT C API\ncuda 12090")


def test_environment_json_names_driver_and_libraries_where_there_is_an_accelerator(monkeypatch, tmp_path):
    monkeypatch.setattr(workdir.jax, "devices", lambda: [Gpu])
    monkeypatch.setattr(workdir, "_DRIVER", tmp_path / "version")
    packages = {"nvidia-cudnn-cu12": "9.8", "jax-cuda12-plugin": "0.10.2", "jax": "0.10.2"}
    monkeypatch.setattr(workdir.importlib.metadata, "distributions", lambda: [
        types.SimpleNamespace(name=name, version=version) for name, version in packages.items()])
    assert "driver" not in workdir._describe_machine()
    (tmp_path / "version").write_text("570.86.15\n")
    seen = workdir._describe_machine()
    assert seen["device"] == Gpu.device_kind and seen["runtime"] == "PJRT C API cuda 12090"
    assert (seen["driver"], seen["nvidia-cudnn-cu12"], seen["jax-cuda12-plugin"]) == ("570.86.15", "9.8", "0.10.2")
    assert "jax" not in seen
