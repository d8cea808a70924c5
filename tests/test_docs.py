"""What the documentation tells people to type works, in a copy of the project that starts without what it makes.

Blocks marked `python` that begin with a path are saved there, blocks marked `sh` are run, in the order of the page.
Runs are made shorter; everything else is as printed.
"""

import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from experiments.environment import fast_environment
from experiments.inspection.matrix import compatibility, markdown

ROOT = pathlib.Path(__file__).parent.parent
PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
SHORTER = {"experiments.train": ["--config.steps=2"],
           "experiments.study": ["--config.base.steps=2", "--seeds=1", "--config.suffixes=2", "--config.pairs=2",
                                 "--config.fine_tuning.examples=16", "--config.fine_tuning.test_examples=16"],
           "experiments.sweep": ["--config.steps=2", "--seeds=1", "--study.suffixes=2", "--study.pairs=2",
                                 "--study.fine_tuning.examples=16", "--study.fine_tuning.test_examples=16"],
           "experiments.fine_tune": ["--seeds=1", "--epochs=1", "--examples=32", "--test_examples=8"],
           "pytest": ["-p", "no:cacheprovider"]}


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, text) of the fenced blocks of a page."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands(text: str) -> list[list[str]]:
    """The commands of a block, shortened where the program has a shorter form."""
    lines = [line.split("  #")[0] for line in text.replace("\\\n", " ").splitlines()]
    found = []
    for words in map(shlex.split, filter(str.strip, lines)):
        is_dry = "--dry_run" in words or "--help" in words
        found.append(words + ([] if is_dry else next((SHORTER[w] for w in words[:3] if w in SHORTER), [])))
    return found


@pytest.fixture
def copy(tmp_path):
    for name in ("arch_zoo", "experiments", "benchmarks", "configs", "tests", "docs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def follow(page: str, found: list[tuple[str, str]], copy: pathlib.Path) -> None:
    """Do what the blocks say in the copy; AssertionError at the first command that fails."""
    # One device, as a reader has; and what programs set for themselves, so that none starts twice.
    environment = fast_environment() | {
        "TFDS_DATA_DIR": str(copy / "tfds"), "PYTHONPATH": str(copy),
        "XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_prefer_vector_width=512"}
    for kind, text in found:
        if kind == "python" and (path := re.match(r"# (\S+\.py)\n", text)):
            (copy / path[1]).write_text(text)
        for words in commands(text) if kind == "sh" else []:
            assert words[0] == "python", f"{page}: {words[0]} cannot be run by a test; mark the block otherwise"
            ended = subprocess.run([sys.executable, *words[1:]], cwd=copy, env=environment, text=True,
                                   capture_output=True)
            assert ended.returncode == 0, f"{page}: {shlex.join(words)}\n{ended.stdout[-2000:]}\n{ended.stderr[-2000:]}"


@pytest.mark.slow
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
