"""What is wanted of the project's speed, and where it stands by the results of `benchmarks.all` for one device."""

import dataclasses
from collections.abc import Callable
from typing import Any

from benchmarks.steps.cases import CASES, MEASURES, Case, measured

HEAD = ["what", "wanted", "found", ""]
_BESIDE = {"ours": "", "eager": " beside torch eager", "compiled": " beside torch.compile"}


@dataclasses.dataclass(frozen=True)
class Target:
    """At most `bound` of what `measure` makes of a benchmark's numbers, on devices with `device` in their name."""

    what: str
    benchmark: str
    measure: Callable[[Any], float]
    bound: float
    form: str
    device: str = "cpu"


TARGETS = (
    Target("12 blocks, scanned: tracing and compiling a step", "compile_time",
           lambda numbers: numbers["12, scanned"]["together"]["median"], 3.0, "{:.1f} s"),
    Target("12 blocks, unrolled: tracing and compiling a step", "compile_time",
           lambda numbers: numbers["12, unrolled"]["together"]["median"], 3.0, "{:.1f} s"),
    Target("a second start of a run, base size: to its first step", "start_up",
           lambda numbers: numbers[1]["seconds"], 5.0, "{:.1f} s"),
    Target("a step's wait for its batch, in the arm that waits most", "study_step",
           lambda numbers: max(arm["waited"] for arm in numbers.values()), 0.01, "{:.2%}", device=""),
    Target("eight runs as one program, GPT-2, 4 × 256: of one run's time", "together",
           lambda numbers: numbers["8"]["median"] / numbers["1"]["median"], 2.0, "{:.2f}×", device="H200"))


def standing(results: dict[str, dict], device: str) -> list[list[str]]:
    """A row for each target on this device; what no benchmark has measured is said so.

    results: {name of a benchmark: what `benchmarks.all` keeps of it}.
    """
    numbers = {name: one["numbers"]["numbers"] for name, one in results.items() if "numbers" in one}
    rows = []
    for name, case in CASES.items():
        steps = numbers.get("train_step", {}).get(name, {})
        for ours in ("ours", *({"parts"} & steps.keys())) if case.device in device else ():
            rows += _rows_of(case, steps, ours)
    for target in TARGETS:
        if target.device in device:
            rows.append(_row(target.what, f"≤ {target.form.format(target.bound)}",
                             _found(target.measure, numbers.get(target.benchmark)), target.form,
                             lambda value, bound=target.bound: value <= bound))
    return rows


def _rows_of(case: Case, steps: dict[str, dict], ours: str) -> list[list[str]]:
    """What is wanted of a step beside each of its peers."""
    rows, title = [], steps[ours]["title"].replace("arch_zoo", case.title) if ours in steps else case.title
    for contender, wanted in case.wanted.items():
        found = _found(lambda of, contender=contender: measured(of, contender, ours), steps) or {}
        for measure, bound in wanted.items():
            compare, bounded, form = MEASURES[measure]
            rows.append(_row(title + _BESIDE[contender], bounded.format(bound), found.get(measure), form,
                             lambda value, compare=compare, bound=bound: compare(value, bound)))
    return rows


def _found(measure: Callable[[Any], Any], numbers: Any) -> Any:
    """None where the benchmark did not run, or not in this part."""
    try:
        return None if numbers is None else measure(numbers)
    except (KeyError, IndexError, TypeError):
        return None


def _row(what: str, wanted: str, value: float | None, form: str, reaches: Callable[[float], bool]) -> list[str]:
    if value is None:
        return [what, wanted, "", "not measured"]
    return [what, wanted, form.format(value), "reached" if reaches(value) else "not reached"]
