"""Flags that several benchmarks have, read in one way."""

from absl import flags

from arch_zoo.config import RunConfig
from arch_zoo.errors import UserError


def whole_numbers(flag: flags.FlagHolder) -> list[int]:
    """The values of a flag that lists numbers from 1 on."""
    for text in flag.value:
        if not text.strip().isdecimal() or int(text) < 1:
            raise UserError(f"--{flag.name}={','.join(flag.value)}: {text!r} is no whole number from 1 on")
    if not flag.value:
        raise UserError(f"--{flag.name}= names none; whole numbers from 1 on, separated by commas, are wanted")
    return [int(text) for text in flag.value]


def changes(flag: flags.FlagHolder) -> dict[str, str]:
    """{path: text} of a flag that is given as PATH=VALUE, any number of times."""
    for text in flag.value:
        path, equals, _ = text.partition("=")
        if not path or not equals:
            raise UserError(f"--{flag.name}={text}: PATH=VALUE is wanted, such as --{flag.name}=batch_size=16")
    return dict(text.split("=", 1) for text in flag.value)


def vocab_size(config: RunConfig) -> int:
    """Of a model that a benchmark makes without text, whose tokenizer would say it otherwise."""
    if config.model.vocab_size is None:
        raise UserError("model.vocab_size is not set, and there is no text here to make a tokenizer of; set it, or "
                        "name a model of the zoo, such as --config=configs/zoo.py:gpt2_small")
    return config.model.vocab_size
