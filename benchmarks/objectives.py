"""What each objective's training step costs beside causal LM's, at equal tokens of corpus, in one run.

    python -m benchmarks.objectives --config=configs/studies/families.py

The model and the windows of text are the study's base's. Every objective is measured in the first architecture that
can be trained with it (--every_architecture: in all), in turn, one step of each in every round, and so is causal LM: a
ratio is the median of those of the rounds, so that what else the machine does falls on both sides.
"""

from absl import flags

from benchmarks.arms import objective_configs
from benchmarks.table import median, publish, spread
from experiments import program
from experiments.environment import restart_in_fast_environment
from experiments.studies.config import StudyConfig

OUT = flags.DEFINE_string("out", None, "also write the table to this file")
ROUNDS = flags.DEFINE_integer("rounds", 20, "steps of each that are timed", lower_bound=3)
EVERY_ARCHITECTURE = flags.DEFINE_bool("every_architecture", False, "measure each objective in every architecture that "
                                                                    "can be trained with it")
REFERENCE = "causal_lm, decoder_only"


def main(study: StudyConfig, arguments: list[str]) -> None:
    """Compile every step, then run them round by round."""
    from arch_zoo.analysis.ledger import make_ledger
    from arch_zoo.data.prepare import prepare_data
    from arch_zoo.training.timing import compile_step

    data = prepare_data(study.base.data)
    configs = objective_configs(study.base, EVERY_ARCHITECTURE.value)
    steps = {name: compile_step(config, data) for name, config in configs.items()}
    rounds = [{name: step.run() for name, step in steps.items()} for _ in range(ROUNDS.value)]
    vocabulary, rows = data.tokenizer.vocabulary, []
    flops = {name: make_ledger(config, vocabulary).flops_per_token for name, config in configs.items()}
    for name, config in configs.items():
        ratios = sorted(seconds[name] / seconds[REFERENCE] for seconds in rounds)
        lengths = config.objective.lengths(config.data.length)
        rows.append([name, f"{lengths.source} + {lengths.target}", f"{flops[name] / flops[REFERENCE]:.2f}",
                     f"{median(ratios):.2f}", f"{ratios[len(ratios) // 4]:.2f}–{ratios[3 * len(ratios) // 4]:.2f}",
                     f"{1e3 * median(sorted(seconds[name] for seconds in rounds)):.0f}"])
    publish("Training steps of the objectives", ["objective, architecture", "source + target", "FLOPs, of causal LM's",
                                                 "time, of causal LM's", "half of the rounds", "ms (median)"], rows,
            OUT.value, numbers={name: spread([seconds[name] for seconds in rounds]) for name in configs})


if __name__ == "__main__":
    program.run(main, __doc__, StudyConfig, before=restart_in_fast_environment)
