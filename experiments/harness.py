"""EleutherAI's lm-evaluation-harness, with arch_zoo among its models; needs pip install 'arch_zoo[harness]'.

    python -m experiments.harness --model arch_zoo --model_args workdir=runs/x --tasks lambada_openai,blimp
    python -m experiments.harness --model arch_zoo --model_args workdir=runs/bert,pll=within_word --tasks blimp

The command is `lm_eval` itself and takes all its arguments: it has no way of its own to be told of another's models.
"""

import multiprocessing
import os

from experiments import program
from experiments.environment import restart_in_fast_environment


def main() -> None:
    """Hand over to the harness."""
    os.environ.setdefault("DISABLE_MULTIPROC", "1")  # of its bootstraps: they are fast enough in one process
    restart_in_fast_environment()
    multiprocessing.set_start_method("forkserver")  # its tables are laid out by others: no fork of JAX's threads
    import arch_zoo.interop.lm_eval_harness  # noqa: F401  registers the model

    program.use_compilation_cache(None)
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    program.run_as_is(main)
