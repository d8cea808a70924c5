"""The environment in which XLA is fast: what is set, what the user's own settings keep, how it is turned off."""

import os
import subprocess
import sys

import pytest

from experiments.environment import fast_environment
from tests.runs import ROOT

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
