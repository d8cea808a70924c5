"""The parameters of a run's directory: those it was given to begin with, and those it has reached."""

import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from arch_zoo.errors import UserError
from arch_zoo.tensor_files import TensorFiles, flatten_tree, nest, write_tensors

PARAMETERS = "parameters"  # the directory, within a run's, of parameters that it was given


def write_given_parameters(workdir: pathlib.Path, parameters: Mapping[str, Any]) -> None:
    """Give a run's directory, which nobody else reads yet, the parameters that it begins with."""
    (workdir / PARAMETERS).mkdir()
    write_tensors(workdir / PARAMETERS, flatten_tree(parameters).items(), {"format": "np"})


def load_parameters(workdir: pathlib.Path) -> dict[str, Any]:
    """NumPy parameters of a run: of its newest checkpoint, or else those it was given; UserError where it has none."""
    from arch_zoo.training.checkpoints import read_parameters  # Orbax is slow to import, and --help can do without

    reached = read_parameters(workdir / "checkpoints")
    if reached is not None:
        return reached
    if (workdir / PARAMETERS).is_dir():
        files = TensorFiles(workdir / PARAMETERS)
        return nest({name: files.read(name) for name in sorted(files.names())})
    raise UserError(f"{workdir}: has no parameters: no checkpoint, and none that it was given")


def starting_parameters(workdir: pathlib.Path, start_from: str | None, abstract: Any) -> Any | None:
    """The parameters that a run begins with, in its own types, or None where they are drawn at random.

    A directory that was given parameters begins with them; else `start_from` names a run that has some. UserError where
    they are not of the shapes in `abstract`.
    """
    if (workdir / PARAMETERS).is_dir():
        source = workdir
    elif start_from is not None:
        source = pathlib.Path(start_from).expanduser()
    else:
        return None
    found = load_parameters(source)
    arrays, leaves = flatten_tree(found), flatten_tree(abstract)
    there = {path: np.shape(array) for path, array in arrays.items()}
    wanted = {path: leaf.shape for path, leaf in leaves.items()}
    if there != wanted:
        path, *more = sorted(path for path in there.keys() | wanted.keys() if there.get(path) != wanted.get(path))
        raise UserError(f"{source}: its parameters are not this model's: {path} is {there.get(path, 'absent')} there, "
                        f"{wanted.get(path, 'absent')} here, and {len(more)} more differ; take the config of that run: "
                        f"--config={source}/config.json")
    return nest({path: np.asarray(array, leaves[path].dtype) for path, array in arrays.items()})
