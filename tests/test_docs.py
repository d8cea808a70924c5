"""What the documentation tells people to type works, in a copy of the project that starts without what it makes.

Blocks marked `python` that begin with a path are saved there, blocks marked `sh` are run, in the order of the page.
Runs are made shorter, and smaller where the page does not say how large they are; everything else is as printed.
Programs that follow each other are forks of one process.
"""

import json
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from experiments.environment import fast_environment
from experiments.inspection.matrix import compatibility, markdown
from tests.runs import ASKING
from tests.xla import QUICK_TO_COMPILE

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
SHORTER = {"experiments.train": ["--config.steps=2"],
           # Without fine-tuning, and sweeps with one metric: with all of them they are in tests/experiments.
           "experiments.study": ["--config.base.steps=2", "--seeds=1", "--config.suffixes=2", "--config.pairs=2",
                                 "--config.metrics=bits_per_byte,minimal_pairs"],
           "experiments.sweep": ["--config.steps=2", "--seeds=1", "--study.suffixes=2",
                                 "--study.metrics=bits_per_byte"],
           "experiments.fine_tune": ["--seeds=1", "--epochs=1", "--examples=32", "--test_examples=8"],
           "pytest": ["-p", "no:cacheprovider"]}
# {program: (where the options of a run are, sizes that take long only to compile or to go through)}
_SMALL = {"model.depth": 1, "batch_size": 4, "evaluate_batches": 1}
SMALLER = {"experiments.train": ("config.", _SMALL), "experiments.study": ("config.base.", _SMALL),
           "experiments.sweep": ("config.", _SMALL), "benchmarks.mesh_memory": ("config.", {"model.depth": 1})}
TIMED = ("experiments.sweep", "experiments.study")  # whose dry runs compile steps, and time them


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The commands of a block, shortened where the program has a shorter form."""
    lines = [line.split("  #")[0] for line in text.replace("\\\n", " ").splitlines()]
    return [words + shorter(words) for words in map(shlex.split, filter(str.strip, lines))]


def shorter(words: list[str]) -> list[str]:
    """Options that make the command shorter; the page's own sizes stay."""
    program = next((word for word in words[:3] if word in SHORTER | SMALLER), None)
    is_dry = "--dry_run" in words
    if program is None or "--help" in words or is_dry and program not in TIMED:
        return []
    prefix, sizes = SMALLER.get(program, ("", {}))
    said = {word.partition("=")[0] for word in words}
    smaller = [f"--{prefix}{name}={value}" for name, value in sizes.items() if f"--{prefix}{name}" not in said]
    return smaller if is_dry else SHORTER.get(program, []) + smaller


@pytest.fixture
def copy(tmp_path):
    for name in ("arch_zoo", "experiments", "benchmarks", "configs", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(batch: list[list[str]], copy: pathlib.Path, environment: dict[str, str]) -> list[tuple[int, str]]:
    """(exit code, output) of each command, `python …`, in this order."""
    if len(batch) == 1:
        ended = subprocess.run([sys.executable, *batch[0][1:]], cwd=copy, env=environment, text=True,
                               capture_output=True)
        return [(ended.returncode, ended.stdout[-2000:] + ended.stderr[-2000:])]
    task = {"preload": ASKING, "commands": [{"module": words[2], "arguments": words[3:]} for words in batch]}
    ended = subprocess.run([sys.executable, "-m", "tests.many"], cwd=copy, env=environment, text=True,
                           input=json.dumps(task), stdout=subprocess.PIPE, check=True)
    return [(one["code"], one["out"][-2000:] + one["err"][-2000:]) for one in json.loads(ended.stdout)]


def batches(found: list[list[str]]) -> list[list[list[str]]]:
    """The commands in order; programs that follow each other are together."""
    def is_program(words):
        return words[1] == "-m" and words[2].startswith("experiments.")

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


def follow(page: str, found: list[tuple[str, str]], copy: pathlib.Path) -> None:
    """Do what the blocks say in the copy; AssertionError at the first command that fails."""
    # One device, as a reader has; and what programs set for themselves, so that none starts twice.
    environment = fast_environment() | {
        "TFDS_DATA_DIR": str(copy / "tfds"), "PYTHONPATH": str(copy),
        "XLA_FLAGS": " ".join([*QUICK_TO_COMPILE, "--xla_cpu_prefer_vector_width=512"])}
    for step in steps(found):
        if isinstance(step, str):
            (copy / step.split()[1]).write_text(step)
            continue
        for words in step:
            assert words[0] == "python", f"{page}: {words[0]} cannot be run by a test; mark the block otherwise"
        for batch in batches(step):
            for words, (code, output) in zip(batch, run(batch, copy, environment), strict=True):
                assert code == 0, f"{page}: {shlex.join(words)}\n{output}"


@pytest.mark.slow(minutes=1)
@pytest.mark.parametrize("page", [page for page in PAGES if any(kind == "sh" for kind, _ in blocks(page))])
def test_every_command_of_the_page_works(page, copy):
    follow(page, blocks(page), copy)


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
