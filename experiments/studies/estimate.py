"""How long a study will take on this machine: some of its steps are timed, the others scaled by their FLOPs."""

import dataclasses
import heapq
from collections.abc import Callable

import jax
from absl import logging

from arch_zoo.config import RunConfig
from arch_zoo.data.tokenizers import Vocabulary
from arch_zoo.flops import peak_flops
from arch_zoo.settings import to_dict
from arch_zoo.settings_view import flatten
from arch_zoo.training.metrics import clock
from arch_zoo.training.parallel import choose_devices
from arch_zoo.training.planning import CompiledShapes
from experiments.studies.config import StudyConfig
from experiments.studies.plan import DataOf, Plan

Stepper = Callable[[], float]  # makes one more step, and says how many seconds it took

MEASURED = 3  # kinds of step that are timed at most: each has to be compiled
_STEPS, _ENOUGH = 5, 2.0  # timed steps of each: so many, or as many as fill so many seconds
_LONG = 10.0   # seconds of one step that are too many to time it
_IDLE = 0.5    # load up to which a machine counts as ours alone
# What a step costs the same with: its values are inputs of the program, or read outside of it.
_FREE = ("seed", "steps", "log_every", "evaluate_every", "evaluate_batches", "checkpoint_every", "start_from",
         "optimizer.learning_rate", "optimizer.warmup_steps", "optimizer.final_fraction", "optimizer.b1",
         "optimizer.b2", "optimizer.epsilon", "optimizer.weight_decay")


@dataclasses.dataclass(frozen=True)
class ArmTime:
    """What one cell of an arm needs: seconds of a step, of compiling it, of all its steps; how that is known."""

    step: float
    compile: float
    steps: int
    how: str

    @property
    def training(self) -> float:
        return self.steps * self.step


def too_long(plan: Plan) -> tuple[str, float] | None:
    """(the arm whose step is the longest, its FLOPs) if it is too long to be timed here."""
    flops = _flops_of_steps(plan)
    slug = max(flops, key=flops.get)
    likely = 4 * flops[slug] / peak_flops(jax.devices())  # at a quarter of the peak
    return (slug, flops[slug]) if likely > _LONG else None


def compiled(config: RunConfig, vocabulary: Vocabulary) -> tuple[Stepper, float]:
    """(what makes a step of the run on made-up text, two of which were made already; seconds of compiling it)."""
    step = CompiledShapes(config, vocabulary, choose_devices(config.devices))
    run = step.run()
    run(), run()
    return run, step.seconds


def estimate(plan: Plan, data_of: DataOf, measure: Callable[[RunConfig, Vocabulary], tuple[Stepper, float]] = compiled
             ) -> dict[str, ArmTime]:
    """{arm: time of one of its cells}. Arms whose steps are alike are timed once, at most `MEASURED` kinds in all."""
    kinds: dict[str, list[str]] = {}
    for slug, config in plan.configs.items():
        kinds.setdefault(kind_of_step(config), []).append(slug)
    flops = _flops_of_steps(plan)
    leaders = sorted((slugs[0] for slugs in kinds.values()), key=flops.get)
    timed = {}
    for slug in _spread(leaders, MEASURED):
        logging.info("timing the step of %s", slug)
        config = plan.configs[slug]
        step, compiling = measure(config, data_of(config).tokenizer.vocabulary)
        timed[slug] = _median(step), compiling
    times = {}
    for leader, *others in kinds.values():
        near = min(timed, key=lambda slug, leader=leader: (slug != leader, abs(flops[slug] - flops[leader])))
        factor = 1.0 if near == leader else flops[leader] / flops[near]
        how = "measured" if near == leader else f"{factor:.2f} × {near}, by FLOPs"
        for slug in (leader, *others):
            same = how if slug == leader else f"as {leader}"
            step, compiling = timed[near]
            times[slug] = ArmTime(step * factor, compiling if slug == leader else 0.0, plan.configs[slug].steps, same)
    return {slug: times[slug] for slug in plan.configs}


def _flops_of_steps(plan: Plan) -> dict[str, float]:
    return {slug: plan.ledgers[slug].flops_per_token * config.batch_size * config.data.length
            for slug, config in plan.configs.items()}


def _median(step: Stepper) -> float:
    seconds = [step()]
    while len(seconds) < _STEPS and sum(seconds) < _ENOUGH:
        seconds.append(step())
    return sorted(seconds)[len(seconds) // 2]


def kind_of_step(config: RunConfig) -> str:
    """The same text for runs whose training step is the same program, but for its constants."""
    flat = flatten(to_dict(config))
    return repr({path: value for path, value in flat.items() if path not in _FREE})


def _spread(ordered: list[str], count: int) -> list[str]:
    """At most `count` of them, from the first to the last in even strides."""
    if len(ordered) <= count:
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / (count - 1))] for i in range(count)]


def finished_after(seconds: list[float], workers: int) -> float:
    """When the last of these jobs ends, if so many workers take them in this order."""
    free = [0.0] * min(workers, len(seconds))
    for one in seconds:
        heapq.heapreplace(free, free[0] + one)
    return max(free)


def estimate_text(times: dict[str, ArmTime], study: StudyConfig, workers: int, cores: str, load: float) -> str:
    """The estimate as a table, with what it is of and what it leaves out. `load`: of the machine before it was timed.
    """
    head = ("arm", "a step", "its steps", "how known")
    rows = [(slug, f"{time.step * 1000:.1f} ms", clock(time.training), time.how) for slug, time in times.items()]
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(3)]
    lines = [f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]}" for row in [head, *rows]]
    rounds = [study.tuning.steps_of] * len(study.tuning.rates) + [lambda steps: steps] * study.seeds
    cells = [steps_of(time.steps) * time.step + (0.0 if i else time.compile)
             for i, steps_of in enumerate(rounds) for time in times.values()]
    side = f"{workers} side by side, each on {cores}" if workers > 1 else f"one after another, on {cores}"
    return "\n".join([*lines, "", f"about {clock(finished_after(cells, workers))} of training and compilation for "
                                  f"{len(cells)} cells, {side}",
                      "starting, evaluating and the shared metrics come on top; cells beside each other also share "
                      "memory",
                      *([f"other work ran here while it was timed (load {load:.1f}): an idle machine is faster"]
                        if load > _IDLE else [])])


def workers_here(at_once: int) -> int:
    """How many of the cells that are started at once really run at once: an accelerator takes one."""
    return at_once if jax.default_backend() == "cpu" else min(at_once, jax.device_count())
