"""Greedy decoding with the cache: tokens a second beside transformers' generate, the same weights, in one process.

Command: python -m benchmarks.decoding --config=configs/zoo.py:gpt2_small
         python -m benchmarks.decoding --config=configs/zoo.py:t5_small

The weights are random and every row writes as many tokens as it is told to. Rounds alternate between the two; the best
of each counts. Both have all cores, or both the GPU where JAX has one.
"""

import os
import pathlib
import tempfile
import time

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError
from benchmarks.options import vocab_size, whole_numbers
from benchmarks.table import publish, spread
from experiments import program
from experiments.environment import restart_in_fast_environment

BATCHES = flags.DEFINE_list("batches", ["1", "16"], "rows that are written at once")
PROMPT = flags.DEFINE_integer("prompt", 64, "tokens of each prompt", lower_bound=1)
TOKENS = flags.DEFINE_integer("tokens", 64, "tokens written in each row", lower_bound=2)
ROUNDS = flags.DEFINE_integer("rounds", 3, "how often each is timed", lower_bound=1)
BOS, EOS = 5, 1  # of these, prompts have the first or the last; no row writes the other
OUT = flags.DEFINE_string("out", None, "also write the table to this file")


def main(config: RunConfig, arguments: list[str]) -> None:
    """Random weights, in both libraries; the same prompts; the same tokens out."""
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # on a GPU torch is beside us
    import numpy as np

    from arch_zoo.interop.huggingface import export_checkpoint
    from arch_zoo.models.abstract import abstract_parameters
    from arch_zoo.tensor_files import flatten_tree, nest

    model, rng = config.model, np.random.default_rng(0)
    vocabulary, batches = vocab_size(config), whole_numbers(BATCHES)
    flat = flatten_tree(abstract_parameters(model, vocabulary))
    parameters = nest({path: 0.05 * rng.standard_normal(leaf.shape, np.float32) + path.endswith("scale")
                       for path, leaf in flat.items()})
    rows, numbers = [], {}
    with tempfile.TemporaryDirectory() as folder:
        export_checkpoint(pathlib.Path(folder), model, parameters)
        for batch in batches:
            prompts = rng.integers(10, vocabulary - 10, (batch, PROMPT.value))
            if model.architecture.stacks == 1:
                prompts[:, 0] = BOS
            else:
                prompts[:, -1] = EOS  # of the source, to which the objective adds it
            ours, theirs = make_ours(config, parameters, prompts), make_theirs(folder, model, prompts)
            same = np.mean(ours() == theirs())  # compiles, and warms up
            seconds = [(timed(ours), timed(theirs)) for _ in range(ROUNDS.value)]
            columns = dict(zip(("arch_zoo", "transformers"), zip(*seconds, strict=True), strict=True))
            numbers[batch] = {name: spread(column) for name, column in columns.items()}
            speeds = [batch * TOKENS.value / min(column) for column in columns.values()]
            rows.append([str(batch), f"{speeds[0]:.1f}", f"{speeds[1]:.1f}", f"{speeds[0] / speeds[1]:.2f}",
                         f"{same:.0%}"])
    size = sum(leaf.size for leaf in flat.values())
    title = (f"Greedy decoding, {model.architecture.name} of {size:,} parameters, float32, {TOKENS.value} tokens after "
             f"{PROMPT.value}")
    publish(title, ["rows", "arch_zoo tok/s", "transformers tok/s", "ratio", "same tokens"], rows, OUT.value,
            numbers=numbers, libraries=("torch", "transformers"))


def timed(action) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def make_ours(config: RunConfig, parameters, prompts):
    """`write()` -> the tokens [b, n]. The first token of a prompt is its BOS; no token ends a row."""
    import numpy as np

    from arch_zoo.data.tokenizers.base import make_vocabulary
    from arch_zoo.generation.sampling import Sampling
    from arch_zoo.generation.writer import Writer
    from arch_zoo.objectives.translation import Translation
    from arch_zoo.registry import OBJECTIVES

    model = config.model
    decoder = model.architecture.stacks == 1
    roles = {"pad": 0, "unk": None, "bos": BOS if decoder else None, "eos": EOS, "mask": None}
    vocabulary = make_vocabulary([b"x"] * model.vocab_size, roles, [], [0, EOS])
    objective = OBJECTIVES.get("causal_lm")() if decoder else Translation()
    writer = Writer(objective, model.architecture, model.architecture.build(model, model.vocab_size, "float32"),
                    parameters, vocabulary, rows=len(prompts))
    contexts = (prompts[:, 1:] if decoder else prompts[:, :-1]).tolist()
    return lambda: np.array([row + [-1] * (TOKENS.value - len(row)) for row in
                             writer.write(contexts, TOKENS.value, Sampling())])


def make_theirs(folder: str, model, prompts):
    """The same with transformers: no EOS, greedy, its own cache."""
    import jax
    try:
        import torch
        import transformers
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'arch_zoo[parity]'") from None

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError(f"torch {torch.__version__} sees no GPU, and JAX does; with JAX_PLATFORMS=cpu both are "
                        "measured on the CPU")
    torch.backends.cuda.matmul.allow_tf32 = True  # as XLA does
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    decoder = model.architecture.stacks == 1
    kind = transformers.AutoModelForCausalLM if decoder else transformers.AutoModelForSeq2SeqLM
    reference = kind.from_pretrained(folder).to(device).eval()
    ids = torch.tensor(prompts, device=device)
    options = {"max_new_tokens": TOKENS.value, "min_new_tokens": TOKENS.value, "do_sample": False, "num_beams": 1,
               "pad_token_id": 0, "eos_token_id": None, "attention_mask": torch.ones_like(ids)}
    if not decoder:
        options["decoder_start_token_id"] = 0
    skip = prompts.shape[1] if decoder else 1

    def write():
        with torch.inference_mode():
            return reference.generate(ids, **options)[:, skip:].cpu().numpy()

    return write


if __name__ == "__main__":
    program.run(main, __doc__, RunConfig, before=restart_in_fast_environment)
