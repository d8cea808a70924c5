"""Flags of a program that several processes run together, on one machine or on many; nothing happens without them."""

import os

from absl import flags

from arch_zoo.errors import UserError

COORDINATOR = flags.DEFINE_string("coordinator", None, "HOST:PORT at which process 0 of several meets the others "
                                                       "(default: $JAX_COORDINATOR_ADDRESS); none: one process")
PROCESSES = flags.DEFINE_integer("processes", None, "how many processes there are (default: $JAX_NUM_PROCESSES)",
                                 lower_bound=1)
PROCESS = flags.DEFINE_integer("process", None, "the number of this one, from 0 (default: $JAX_PROCESS_ID)",
                               lower_bound=0)
_VARIABLES = ((COORDINATOR, "JAX_COORDINATOR_ADDRESS"), (PROCESSES, "JAX_NUM_PROCESSES"), (PROCESS, "JAX_PROCESS_ID"))


def refuse(what: str, instead: str) -> None:
    """UserError where flags or the environment say that there are other processes."""
    given = [f"--{flag.name}" if flag.value is not None else variable for flag, variable in _VARIABLES
             if flag.value is not None or variable in os.environ]
    if given:
        raise UserError(f"{what}; leave out {', '.join(given)}; {instead}")


def join_the_others() -> None:
    """Meet the other processes where flags or the environment say that there are any; UserError where they do not fit.
    """
    given = {flag.name: flag.value if flag.value is not None else os.environ.get(variable)
             for flag, variable in _VARIABLES}
    if all(value is None for value in given.values()):
        return
    if missing := [name for name, value in given.items() if value is None]:
        raise UserError(f"several processes need --coordinator=HOST:PORT, --processes and --process; missing: "
                        f"{', '.join(f'--{name}' for name in missing)}")
    count, number = (_number(name, given[name]) for name in ("processes", "process"))
    if not 0 <= number < count:
        raise UserError(f"--process={number} is none of the {count} processes, which are numbered from 0")
    if not given["coordinator"].rpartition(":")[2].isdecimal():
        raise UserError(f"--coordinator={given['coordinator']} has no port; give HOST:PORT of process 0")
    from arch_zoo.training import processes

    processes.join(given["coordinator"], count, number)


def _number(name: str, value: int | str) -> int:
    try:
        return int(value)
    except ValueError:
        raise UserError(f"--{name}={value} is no number") from None
