"""What the documentation tells people to type works, in a copy of the project that starts without what it makes.

Blocks marked `python` that begin with a path are saved there, blocks marked `sh` are run, in the order of the page.
Runs are made shorter, and smaller where the page does not say how large they are; everything else is as printed.
Programs are forks of one process, which all pages share until they add code of their own to the packages.
"""

import contextlib
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from experiments.environment import fast_environment
from experiments.inspection.matrix import compatibility, markdown
from tests.runs import ASKING, Forking
from tests.xla import QUICK_TO_COMPILE

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
SHORTER = {"experiments.train": ["--config.steps=2"],
           # With one metric: with all of them they are in tests/experiments.
           "experiments.study": ["--config.base.steps=2", "--seeds=1", "--config.suffixes=2",
                                 "--config.metrics=bits_per_byte"],
           "experiments.sweep": ["--config.steps=2", "--seeds=1", "--study.suffixes=2",
                                 "--study.metrics=bits_per_byte"],
           "experiments.fine_tune": ["--seeds=1", "--epochs=1", "--examples=32", "--test_examples=8"],
           "pytest": ["-p", "no:cacheprovider"]}
# {program, or option: (where the options of a run are, sizes that take long only to compile or to go through)}
_SMALL = {"model.depth": 1, "batch_size": 4, "evaluate_batches": 1}
SMALLER = {"experiments.train": ("config.", _SMALL), "experiments.study": ("config.base.", _SMALL),
           "experiments.sweep": ("config.", _SMALL), "benchmarks.mesh_memory": ("config.", {"model.depth": 1}),
           "--scale=bench": ("config.base.", _SMALL)}
TIMED = ("experiments.sweep", "experiments.study", "--scale=bench")  # whose dry runs compile steps, and time them
PLANNED = ("--match", "--sweep_file")  # dry runs with these plan alone: steps as large as that are not timed
UNTIMED = {"batch_size": 1_000_000}
PACKAGES = ("arch_zoo/", "experiments/")


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The commands of a block, shortened where the program has a shorter form."""
    lines = [line.split("  #")[0] for line in text.replace("\\\n", " ").splitlines()]
    return [words + shorter(words) for words in map(shlex.split, filter(str.strip, lines))]


def shorter(words: list[str]) -> list[str]:
    """Options that make the command shorter; the page's own sizes stay."""
    program = next((word for word in words if word in SHORTER | SMALLER), None)
    is_dry = "--dry_run" in words
    if program is None or "--help" in words or is_dry and program not in TIMED:
        return []
    prefix, sizes = SMALLER.get(program, ("", {}))
    said = {word.partition("=")[0] for word in words}
    if is_dry and said & set(PLANNED):
        return [f"--{prefix}{name}={value}" for name, value in UNTIMED.items()]
    smaller = [f"--{prefix}{name}={value}" for name, value in sizes.items() if f"--{prefix}{name}" not in said]
    return smaller if is_dry else SHORTER.get(program, []) + smaller


@pytest.fixture
def copy(tmp_path):
    for name in ("arch_zoo", "experiments", "benchmarks", "configs", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.fixture(scope="module")
def server():
    """A process that forks for each program of a page."""
    server = Forking(environment_in(ROOT))
    yield server
    server.end()


def environment_in(code: pathlib.Path) -> dict[str, str]:
    """Of a process that imports this code: one device, as a reader has; what programs set for themselves, so that none
    starts twice.
    """
    return fast_environment() | {"PYTHONPATH": str(code), "XLA_FLAGS": " ".join(
        [*QUICK_TO_COMPILE, "--xla_cpu_prefer_vector_width=512"])}


def run(batch: list[list[str]], copy: pathlib.Path, server: Forking | None) -> list[tuple[int, str]]:
    """(exit code, output) of each command, `python …`, in this order: in forks of the server, if there is one."""
    data = {"TFDS_DATA_DIR": str(copy / "tfds")}
    if server is None:
        every = [subprocess.run([sys.executable, *words[1:]], cwd=copy, env=environment_in(copy) | data, text=True,
                                capture_output=True) for words in batch]
        return [(one.returncode, one.stdout[-2000:] + one.stderr[-2000:]) for one in every]
    commands = [{"module": words[2], "arguments": words[3:]} for words in batch]
    task = {"preload": ASKING, "commands": commands, "directory": str(copy), "environment": data}
    return [(one["code"], one["out"][-2000:] + one["err"][-2000:]) for one in server.run(task)]


def is_program(words: list[str]) -> bool:
    return words[1] == "-m" and words[2].startswith("experiments.")


def batches(found: list[list[str]]) -> list[list[list[str]]]:
    """The commands in order; programs that follow each other are together."""
    made = []
    for words in found:
        if made and is_program(words) and is_program(made[-1][-1]):
            made[-1].append(words)
        else:
            made.append([words])
    return made


def steps(found: list[tuple[str, str]]) -> list[str | list[list[str]]]:
    """The page as texts to be saved and commands to be run up to the next of them."""
    made = []
    for kind, text in found:
        if kind == "python" and re.match(r"# (\S+\.py)\n", text):
            made.append(text)
        elif kind == "sh":
            if not made or isinstance(made[-1], str):
                made.append([])
            made[-1] += commands(text)
    return made


def follow(page: str, found: list[tuple[str, str]], copy: pathlib.Path, server: Forking | None = None) -> None:
    """Do what the blocks say in the copy; AssertionError at the first command that fails."""
    with contextlib.ExitStack() as ending:
        for step in steps(found):
            if isinstance(step, str):
                name = step.split()[1]
                (copy / name).write_text(step)
                if name.startswith(PACKAGES):  # no process has imported it yet
                    server = Forking(environment_in(copy), copy)
                    ending.callback(server.end)
                continue
            for words in step:
                assert words[0] == "python", f"{page}: {words[0]} cannot be run by a test; mark the block otherwise"
            for batch in batches(step):
                ended = run(batch, copy, server if is_program(batch[0]) else None)
                for words, (code, output) in zip(batch, ended, strict=True):
                    assert code == 0, f"{page}: {shlex.join(words)}\n{output}"


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize("page", [page for page in PAGES if any(kind == "sh" for kind, _ in blocks(page))])
def test_every_command_of_the_page_works(page, copy, server):
    follow(page, blocks(page), copy, server)


def test_the_page_of_objectives_has_what_the_program_prints():
    page = (ROOT / "docs" / "objectives.md").read_text()
    assert page.endswith(f"## All of them\n\n{markdown(compatibility())}\n"), \
        "replace its end by what python -m experiments.objectives --markdown prints"


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
        assert (ROOT / page).parent.joinpath(target).exists(), f"{page}: {target}"


def test_a_command_that_fails_would_be_seen(copy):
    with pytest.raises(AssertionError, match="postion"):
        follow("a page", [("sh", "python -m experiments.train --config.model.postion=rotary")], copy)
