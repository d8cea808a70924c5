"""Names for variants and for named models. A variant is a frozen dataclass, registered where it is defined.

    @POSITIONS.register("rotary")
    @dataclasses.dataclass(frozen=True)
    class Rotary(Position):
        theta: float = 10_000.0

A config field typed by a registry holds an instance of such a class, so its options are typed, printed, overridden and
saved like every other field, and nothing outside the file that defines the variant knows its name.
"""

import difflib
import importlib
import pkgutil
from collections.abc import Callable, Iterable
from typing import Any

from arch_zoo.errors import UserError


def did_you_mean(name: str, known: Iterable[str], written: Callable[[str], str] = str) -> str:
    """'' or ' Did you mean "x" or "y"?' for the known names nearest to `name`, or else those that begin with it.

    `written`: how one is written down, where that is not the name alone.
    """
    known = list(known)
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or \
        [one for one in known if name and one.startswith(name)][:3]
    return f" Did you mean {' or '.join(repr(written(n)) for n in near)}?" if near else ""


class Registry:
    """What there is of one kind, by name. `home` is the package whose modules register the built-in ones when imported.

    `listing` says, in an error, how to see all names, where they are too many for one line.
    """

    def __init__(self, kind: str, home: str, listing: str = ""):
        self.kind = kind
        self._home, self._listing = home, listing
        self._entries: dict[str, Any] = {}
        self._home_loaded = False

    def add(self, name: str, entry: Any) -> None:
        """Enter something under a name. A name that is taken raises ValueError."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry

    def register(self, name: str) -> Callable[[type], type]:
        """Class decorator. The class gets the attribute `name`. A name that is taken raises ValueError."""

        def decorate(variant: type) -> type:
            self.add(name, variant)
            variant.name = name
            return variant

        return decorate

    def unregister(self, name: str) -> None:
        """Forget a variant: for tests, which define their own."""
        del self._entries[name]

    def get(self, name: str) -> Any:
        """What is registered as `name`, a class where it is a variant; UserError lists the known names."""
        self._load_home()
        if name not in self._entries:
            known = self._listing or f"Known: {', '.join(self.names())}"
            raise UserError(f"unknown {self.kind} {name!r}.{did_you_mean(name, self._entries)} {known}")
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load_home()
        return sorted(self._entries)

    def entries(self) -> list[Any]:
        """Everything that is registered, in the order in which it was."""
        self._load_home()
        return list(self._entries.values())

    def _load_home(self) -> None:
        if self._home_loaded:
            return
        self._home_loaded = True
        package = importlib.import_module(self._home)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._home}.{module.name}")


POSITIONS = Registry("position scheme", "arch_zoo.layers.positions")
KERNELS = Registry("attention kernel", "arch_zoo.layers.kernels")
ARCHITECTURES = Registry("architecture", "arch_zoo.models")
OBJECTIVES = Registry("objective", "arch_zoo.objectives")
TASKS = Registry("task", "arch_zoo.tasks")
ZOO = Registry("named model", "arch_zoo.zoo", "python -m experiments.zoo lists them")
SYNTHETIC_TEXT = Registry("synthetic text", "arch_zoo.data.synthetic")
SYNTHETIC_PAIRS = Registry("synthetic pairs", "arch_zoo.data.synthetic")
LABELLED_TASKS = Registry("labelled task", "arch_zoo.data.labelled")
TRAINED_WEIGHTS = Registry("choice of weights", "arch_zoo.fine_tuning.weights")
ANSWERS = Registry("way to answer", "arch_zoo.fine_tuning.answers")
