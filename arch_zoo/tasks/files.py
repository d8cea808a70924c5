"""The files of tasks: JSON-lines, with the line named where something is wrong with it."""

import itertools
import json
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from arch_zoo.data.local_text import lines_of
from arch_zoo.errors import UserError
from arch_zoo.registry import did_you_mean


def json_lines(path: pathlib.Path, limit: int | None = None) -> Iterator[tuple[str, Any]]:
    """("FILE:LINE", value) of the first `limit` lines that are not blank. UserError where there is none, or no JSON."""
    def values():
        for number, line in enumerate(lines_of(path), start=1):
            if line.strip():
                where = f"{path}:{number}"
                try:
                    yield where, json.loads(line)
                except (ValueError, RecursionError) as error:
                    raise UserError(f"{where}: not JSON ({error})") from None

    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a JSON-lines file")
    if not path.exists():
        raise UserError(f"{path}: no such file")
    found = 0
    for found, (where, value) in enumerate(itertools.islice(values(), limit), start=1):  # noqa: B007
        yield where, value
    if not found:
        raise UserError(f"{path}: empty")


def text_field(where: str, value: Any, *names: str, default: str | None = None) -> str:
    """The text in a line under the first of these names that it has; UserError where it has none, or no text."""
    if not isinstance(value, Mapping):
        raise UserError(f"{where}: expected an object with {' or '.join(map(repr, names))}, got {str(value)[:40]!r}")
    name = next((name for name in names if name in value), None)
    if name is None and default is not None:
        return default
    if name is None:
        raise UserError(f"{where}: has no field {' or '.join(map(repr, names))}.{did_you_mean(names[0], value)} "
                        f"Here are: {', '.join(value)}")
    if not isinstance(value[name], str):
        raise UserError(f"{where}: {name} must be text, got {str(value[name])[:40]!r}")
    return value[name]


def choices_of(where: str, value: Any) -> tuple[tuple[str, ...], int]:
    """(choices, which is right) of a line: `choices` are texts, `answer` is the number of one from 0, or its text."""
    if not isinstance(value, Mapping) or "choices" not in value or "answer" not in value:
        raise UserError(f"{where}: needs the fields 'choices' and 'answer'")
    choices, answer = value["choices"], value["answer"]
    if not isinstance(choices, list) or len(choices) < 2 or not all(isinstance(c, str) and c.strip() for c in choices):
        raise UserError(f"{where}: choices must be two texts or more, none of them empty")
    if isinstance(answer, str) and choices.count(answer) == 1:
        return tuple(choices), choices.index(answer)
    if isinstance(answer, int) and not isinstance(answer, bool) and 0 <= answer < len(choices):
        return tuple(choices), answer
    raise UserError(f"{where}: answer {answer!r} is neither one of the choices nor the number of one, 0 to "
                    f"{len(choices) - 1}")
