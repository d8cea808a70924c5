"""What every program shares: flags, `--config` with dotted overrides, errors as one line, exit codes."""

import contextlib
import dataclasses
import errno
import gc
import importlib.util
import inspect
import logging as standard_logging
import os
import pathlib
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from absl import app, flags, logging

from arch_zoo.errors import TURN, Interrupted, UserError, out_of_memory
from arch_zoo.files import read_json
from arch_zoo.registry import did_you_mean
from arch_zoo.settings import Settings, from_dict, override
from arch_zoo.settings_view import help_lines

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def run(main: Callable[..., int | None], about: str, config_class: type[Settings] | None = None,
        aliases: dict[str, str] | None = None, load: Callable[..., Any] | None = None,
        default_config: Callable[[], str | None] = lambda: None,
        beside: dict[str, type[Settings]] | None = None, turn: str = TURN,
        before: Callable[[], None] = lambda: None) -> None:
    """Run `main(arguments)`, or `main(config, arguments)` for a program that takes `--config`.

    `--config=FILE[:ARGUMENT]` names a Python file with `get_config`, or the config.json of a run; `--config.a.b=VALUE`
    overrides its fields. Without it the file is what `default_config` says once flags are parsed; None stands for the
    defaults. `aliases` maps a short flag to such a path: {"match": "match"} makes `--match=x` mean `--config.match=x`,
    and `--match.a=x` mean `--config.match.a=x`. `load` makes the config from what `load_config` is given. `beside`: the
    settings that are no part of the config and that `load` also makes, by the first part of their paths; aliases lead
    to them. `turn`: what a person can change where memory runs out. `before` is called as soon as flags are
    read, and those of its module are the program's, too.
    """
    collect_rarely()
    try:
        source, overrides, rest = _split(sys.argv[1:], aliases or {})
        if any(argument in ("--help", "-h", "-help", "--helpfull", "--helpshort") for argument in rest):
            sys.exit(_guarded(print, _help(about, config_class, source, aliases or {}, beside or {}, before)))
        remaining = flags.FLAGS([sys.argv[0], *rest])[1:]
        _show_progress()
        before()
        arguments = (remaining,)
        if config_class is not None:
            if remaining:
                raise UserError(f"unexpected argument {remaining[0]!r}; options look like --name=value")
            source = source or default_config()
            arguments = ((load or load_config)(source, overrides, config_class), remaining)
    except (UserError, flags.Error) as error:
        _fail(error, USAGE)
    _run(main, *arguments, turn=turn)


def run_as_is(main: Callable[[], int | None]) -> None:
    """Run `main()` of a program that leaves all its arguments to a library that reads them itself."""
    collect_rarely()
    flags.FLAGS(sys.argv[:1])
    _show_progress()
    _run(main)


def _run(main: Callable[..., int | None], *arguments, turn: str = TURN) -> None:
    app.run(lambda _: sys.exit(_guarded(main, *arguments, turn=turn)), argv=[sys.argv[0]],
            flags_parser=lambda argv: argv)


def collect_rarely() -> None:
    """Importing and tracing make objects by the million, and nearly all stay: Python's collector would go through them
    hundreds of times before the first step (benchmarks/NOTES.md).
    """
    gc.set_threshold(100_000, 50, 100)


def _show_progress() -> None:
    """absl only logs lines of progress here; its own prefix would hide them."""
    logging.use_absl_handler()
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(_is_ours_or_serious)
    logging.set_verbosity(logging.INFO)
    sys.unraisablehook = _report_unraisable


def _is_ours_or_serious(record: standard_logging.LogRecord) -> bool:
    """Progress is ours; libraries tell of every font they find. What Orbax tells of is raised as well where it counts.
    """
    if f"{os.sep}orbax{os.sep}" in record.pathname:
        return False
    return record.name == "absl" or record.levelno >= standard_logging.WARNING


def _report_unraisable(unraisable) -> None:
    """TensorStore still reports to Orbax's event loop after a failed save or restore has closed it: no news."""
    if str(unraisable.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(unraisable)


def _guarded(main: Callable[..., int | None], *arguments, turn: str = TURN) -> int:
    """The program's exit code; what the user can put right becomes one line."""
    try:
        code = main(*arguments) or 0
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever read the output has seen enough, as `head` does
        os._exit(0)
    except UserError as error:
        _fail(error, FAILED)
    except KeyboardInterrupt:
        _fail("interrupted; the same command goes on from what is saved", INTERRUPTED)
    except Interrupted as error:
        _fail(error, INTERRUPTED)
    except Exception as error:
        if getattr(error, "errno", None) == errno.ENOSPC or "No space left on device" in str(error):
            _fail("no space left on the disk; free some and run the same command again, it goes on from what is saved",
                  FAILED)
        if line := out_of_memory(error, turn):
            _fail(line, FAILED)
        raise
    return FAILED


def command() -> str:
    """The command that started this program, as a person would type it."""
    module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    return shlex.join(["python", "-m", module, *sys.argv[1:]])


def _name() -> str:
    path = pathlib.Path(sys.argv[0])
    return path.parent.name if path.stem == "__main__" else path.stem


def leave_devices_to_others() -> None:
    """For a process that plans and waits: a GPU that it took, with most of its memory, would be missing to those that
    compute.
    """
    import jax

    jax.config.update("jax_platforms", "cpu")


def use_compilation_cache(cache_dir: str | None) -> None:
    """Keep compiled programs on disk, so that a second start of the same run compiles nothing.

    What the environment says of that, JAX_COMPILATION_CACHE_DIR say, goes before.
    """
    import jax

    from arch_zoo.files import cache_directory

    for option, value in (("jax_compilation_cache_dir", str(cache_directory(cache_dir) / "compiled")),
                          ("jax_persistent_cache_min_compile_time_secs", 0.5)):
        if option.upper() not in os.environ:
            jax.config.update(option, value)


def _fail(problem: Exception | str, code: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C would cut the message off
    text = " ".join(str(problem).split())
    print(f"{_name()}: {text}", file=sys.stderr, flush=True)
    # Background writers may still hold the interpreter after a failure; what is on disk is whole.
    sys.stdout.flush()
    os._exit(code)


def _split(argv: list[str], aliases: dict[str, str]) -> tuple[str | None, dict[str, str], list[str]]:
    """(the --config file, {dotted path: text}, everything else). Of the same flag twice the last one counts."""
    source, overrides, rest, named = None, {}, [], {}
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.lstrip("-").partition("=")
        head, dot, below = name.partition(".")
        is_override = argument.startswith("-") and (head == "config" or head in aliases)
        if not is_override:
            rest.append(argument)
            continue
        if not equals:
            value = next(arguments, None)
            if value is None:
                raise UserError(f"--{name} needs a value: --{name}=…")
        if name == "config":
            source = value
        else:
            path = below if head == "config" else aliases[head] + dot + below
            if named.setdefault(path, name) != name:
                raise UserError(f"--{named[path]} and --{name} set the same field; give one of them")
            overrides[path] = value
    return source, overrides, rest


def load_config(source: str | None, overrides: dict[str, str], config_class: type[Settings]) -> Settings:
    """The config of a file, with overrides; without a file the class's defaults."""
    if source is not None and source.endswith(".json"):
        config = _from_json(source, config_class)
    else:
        config = config_class() if source is None else call_in_file("config", source, "get_config")
    if not isinstance(config, config_class):
        raise UserError(f"{source}: get_config() returns a {type(config).__name__}; this program needs a "
                        f"{config_class.__name__}")
    return override(config, overrides)


def _from_json(source: str, config_class: type[Settings]) -> Settings:
    values = read_json(source)
    if not isinstance(values, dict):
        raise UserError(f"--config={source}: not the config.json of a run")
    try:
        return from_dict(config_class, values)
    except UserError as error:
        raise UserError(f"--config={source}: {error}") from None


def call_in_file(flag: str, source: str, function: str, *given: Any) -> Any:
    """What `function(*given)` of a Python file returns, or `function(*given, ARGUMENT)` for source FILE:ARGUMENT.

    UserError, naming the flag or the file, where there is no such file or function or it cannot be called so.
    """
    path_text, colon, argument = source.partition(":")
    path = pathlib.Path(path_text)
    if not path.is_file():
        siblings = [p.stem for p in path.parent.glob("*.py")] if path.parent.is_dir() else []
        near = did_you_mean(path.stem, siblings, lambda stem: str(path.with_name(f"{stem}.py")))
        raise UserError(f"--{flag}={source}: no such file.{near}")
    specification = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if specification is None:
        raise UserError(f"--{flag}={source}: not a Python file")
    module = importlib.util.module_from_spec(specification)
    with in_file(path):
        specification.loader.exec_module(module)
        if not hasattr(module, function):
            raise UserError(f"it defines no {function}({'…' if given else ''})")
        takes = list(inspect.signature(getattr(module, function)).parameters.items())[len(given):]
        if colon and not takes:
            raise UserError(f"its {function}() takes no argument, {argument!r} was given")
        if needed := [name for name, one in takes if one.default is one.empty and not argument]:
            raise UserError(f"it needs an argument behind a colon: --{flag}={path_text}:{needed[0].upper()}")
        return getattr(module, function)(*given, *([argument] if colon else []))


@contextlib.contextmanager
def in_file(path: pathlib.Path, called: str = "") -> Iterator[None]:
    """While a person's Python file is at work: what goes wrong is a UserError that names it and its line.

    `called`: what it is called where people know it by a name.
    """
    try:
        yield
    except UserError as error:
        raise UserError(f"{called or path}: {error}") from None
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == os.path.abspath(path)]
        line = lines[-1] if lines else getattr(error, "lineno", None)  # a syntax error stops before there is a frame
        place = path if line is None else f"{path}:{line}"
        raise UserError(f"{place}: {type(error).__name__}: {error}") from None


def _help(about: str, config_class: type[Settings] | None, source: str | None, aliases: dict[str, str],
          beside: dict[str, type[Settings]], before: Callable[[], None]) -> str:
    lines = [about.strip(), "", "Flags:"]
    for flag in _own_flags() + flags.FLAGS.get_key_flags_for_module(before.__module__):
        lines.append(f"  --{flag.name}={flag.default if flag.default is not None else ''}\n        {flag.help}")
    if config_class is not None:
        lines.append("  --config=FILE[:ARGUMENT]\n        a Python file with get_config(), see configs/; or a run's "
                     "config.json")
        lines.extend(f"  --{short}=…\n        {_meaning(path, beside)}" for short, path in aliases.items()
                     if path not in beside)
        lines += ["", f"Fields of the config{f' {source}' if source else ''}, with their values there:"]
        lines += help_lines(load_config(source, {}, config_class), "config")
    return "\n".join(lines)


def _meaning(path: str, beside: dict[str, type[Settings]]) -> str:
    """What a short flag stands for: the help of an option, of whichever variant has it, or the field of the config."""
    head, _, below = path.partition(".")
    if head not in beside:
        return f"short for --config.{path}"
    above, _, name = below.rpartition(".")
    field = next((field for field in dataclasses.fields(beside[head]) if field.name == above), None)
    owners = [beside[head]] if field is None else field.metadata["variant"].entries()
    lines = [line for owner in owners for line in help_lines(owner(), "")]
    return next(line.partition("\n")[2].strip() for line in lines if line.strip().startswith(f"--.{name}="))


def _own_flags() -> list:
    of = flags.FLAGS.get_key_flags_for_module
    return of(sys.argv[0]) or of(sys.modules["__main__"])
