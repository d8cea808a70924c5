"""Put two finished studies side by side: what differs in their results, their configs and their costs.

    python -m experiments.compare STUDY_A STUDY_B
    python -m experiments.compare runs/before runs/after --out=runs/before_after

Arms are matched by name. Values are paired by seed where the same seed read the same data in both studies, and tested
as independent ones elsewhere; the page says which.
"""

import pathlib

from absl import flags

from arch_zoo.errors import UserError
from experiments import program

OUT = flags.DEFINE_string("out", None, "directory of the page; without it A_against_B, beside the first study")


def main(arguments: list[str]) -> None:
    """Read both, compare, write the pages and print the short version."""
    if len(arguments) != 2:
        raise UserError(f"two arguments are needed, the directories of two studies; got {len(arguments)}")
    a, b = map(pathlib.Path, arguments)
    for path in (a, b):
        if not path.is_dir():
            raise UserError(f"{path}: there is no such directory")
    if a.resolve() == b.resolve():
        raise UserError(f"{a} and {b} are the same directory: there is nothing to compare")
    from experiments.report.record import load_study
    from experiments.report.side_by_side import put_side_by_side
    from experiments.report.side_by_side_page import terminal_text, write_pages

    found = put_side_by_side(load_study(a), load_study(b))
    out = pathlib.Path(OUT.value) if OUT.value else a.parent / f"{a.resolve().name}_against_{b.resolve().name}"
    if out.is_file() or (out / "study.json").exists():
        raise UserError(f"--out={out}: that is a {'file' if out.is_file() else 'study'}; name a directory of its own")
    try:
        page = write_pages(found, (str(a), str(b)), out, program.command())
    except OSError as error:
        raise UserError(f"--out={out}: cannot be written ({error.strerror})") from None
    print(f"A: {a}\nB: {b}\n\n{terminal_text(found)}\n\npage: {page}")


if __name__ == "__main__":
    program.run(main, __doc__)
