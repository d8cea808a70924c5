"""Names for variants: a variant is a frozen dataclass, registered where it is defined.

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

from arch_zoo.errors import UserError


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """'' or ' Did you mean "x" or "y"?' for the known names nearest to `name`."""
    near = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""


class Registry:
    """Variants of one kind by name. `home` is the package whose modules register the built-in ones when imported."""

    def __init__(self, kind: str, home: str):
        self.kind = kind
        self._home = home
        self._entries: dict[str, type] = {}
        self._home_loaded = False

    def register(self, name: str) -> Callable[[type], type]:
        """Class decorator. The class gets the attribute `name`. A name that is taken raises ValueError."""

        def decorate(variant: type) -> type:
            if name in self._entries:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            variant.name = name
            self._entries[name] = variant
            return variant

        return decorate

    def unregister(self, name: str) -> None:
        """Forget a variant: for tests, which define their own."""
        del self._entries[name]

    def get(self, name: str) -> type:
        """The class registered as `name`; UserError lists the known names."""
        self._load_home()
        if name not in self._entries:
            known = ", ".join(self.names())
            hint = did_you_mean(name, self._entries)
            raise UserError(f"unknown {self.kind} {name!r}.{hint} Known: {known}")
        return self._entries[name]

    def names(self) -> list[str]:
        """All names, sorted."""
        self._load_home()
        return sorted(self._entries)

    def _load_home(self) -> None:
        if self._home_loaded:
            return
        self._home_loaded = True
        package = importlib.import_module(self._home)
        for module in pkgutil.iter_modules(package.__path__):
            importlib.import_module(f"{self._home}.{module.name}")


POSITIONS = Registry("position scheme", "arch_zoo.layers.positions")
ARCHITECTURES = Registry("architecture", "arch_zoo.models")
OBJECTIVES = Registry("objective", "arch_zoo.objectives")
