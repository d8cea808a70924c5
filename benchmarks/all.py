"""Every benchmark, one after another, each in a process of its own; the tables and the numbers in one place.

    python -m benchmarks.all                                   # to benchmarks/results/<device>.md and .json
    python -m benchmarks.all --only=train_step,kernels --out=results
    python -m benchmarks.all --quick --only=kernels            # smallest sizes and fewest rounds: does it run?

What is not there (torch and transformers, the extra [parity]; a corpus) fails its own benchmark and no other; the table
then says so. A benchmark that is interrupted leaves what the others gave. Results that stand there are replaced one by
one, each by the same benchmark's; those of --quick have files of their own, …_quick, and replace no others.
"""

import dataclasses
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

from absl import flags, logging

from arch_zoo.errors import UserError
from arch_zoo.files import read_json, write_json_atomic, write_text_atomic
from arch_zoo.registry import did_you_mean
from benchmarks.conditions import cores, device_elsewhere, processor
from benchmarks.table import markdown, table_lines
from benchmarks.targets import HEAD, standing
from experiments import program

OUT = flags.DEFINE_string("out", "benchmarks/results", "folder for the results")
ONLY = flags.DEFINE_list("only", None, "these benchmarks; default: all")
QUICK = flags.DEFINE_bool("quick", False, "smallest sizes: shows that each runs, and measures nothing")


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A module of benchmarks/ with its flags: everywhere, on a GPU, and where it should only be seen to run."""

    module: str
    flags: tuple[str, ...] = ()
    on_gpu: tuple[str, ...] | None = ()  # None: not there
    quick: tuple[str, ...] = ()


_STUDY = ("--config=configs/studies/families.py",)
_TINY = ("--config.base.batch_size=2", "--config.base.model.width=16", "--config.base.model.depth=1",
         "--config.base.data.length=32")
ALL = {
    "train_step": Benchmark("train_step", on_gpu=("--device=gpu",), quick=("--rehearse", "--peer=eager", "--rounds=1",
                                                                           "--steps=1")),
    "kernels": Benchmark("kernels", ("--batch=2", "--length=256", "--heads=4"),
                         ("--batch=8", "--length=1024", "--heads=12"), ("--batch=1", "--length=32", "--heads=4",
                                                                        "--head_dim=16", "--rounds=1")),
    "together": Benchmark("together", on_gpu=("--dtype=bfloat16",), quick=("--members=1,2", "--rounds=1", "--steps=1",
                                                                          "--change=batch_size=2")),
    "compile_time": Benchmark("compile_time", quick=("--depths=1", "--repeats=1", "--config.model.width=16",
                                                     "--config.batch_size=2")),
    "start_up": Benchmark("start_up", ("--config=configs/base.py",), quick=("--starts=2", "--config.model.width=16",
                                                                            "--config.batch_size=2")),
    "pipeline": Benchmark("pipeline", _STUDY, quick=("--batches=5", *_TINY)),
    "study_step": Benchmark("study_step", _STUDY, quick=("--steps=3", *_TINY)),
    "objectives": Benchmark("objectives", _STUDY, quick=("--rounds=3", *_TINY)),
    "mesh_memory": Benchmark("mesh_memory", on_gpu=None, quick=("--meshes=fsdp:8", "--config=configs/base.py",
                                                              "--config.data.length=128")),
    "decoding_gpt2": Benchmark("decoding", ("--config=configs/zoo.py:gpt2_small",),
                               quick=("--batches=1", "--tokens=2", "--rounds=1")),
    "decoding_t5": Benchmark("decoding", ("--config=configs/zoo.py:t5_small",),
                             quick=("--batches=1", "--tokens=2", "--rounds=1")),
    "import_checkpoint": Benchmark("import_checkpoint", ("--config=configs/zoo.py:gpt2_small",)),
}


def main(arguments: list[str]) -> int | None:
    """Runs them and keeps the results written down after each."""
    for name in ONLY.value or ():
        if name not in ALL:
            raise UserError(f"--only={name}: there is none.{did_you_mean(name, ALL)} Known: {', '.join(ALL)}")
    kind, platform = device_elsewhere()
    device = f"{kind} ({processor()}), {cores()}" if platform == "cpu" else kind
    path = pathlib.Path(OUT.value) / (_slug(device) + ("_quick" if QUICK.value else ""))
    wanted = {name: one for name, one in ALL.items()
              if name in (ONLY.value or ALL) and (one.on_gpu is not None or platform != "gpu")}
    found = _before(path)
    failed = []
    for number, (name, benchmark) in enumerate(wanted.items(), 1):
        logging.info("[%d/%d] %s", number, len(wanted), name)
        one = measure(benchmark, platform, pathlib.Path(f"{path}_{name}.png"))
        if "failure" in one:
            failed.append(name)
        # What was measured before is not thrown away for a failure.
        found[name] = one if "numbers" in one or name not in found else found[name] | one
        _write(path, device, found)
    print(f"{path}.md and .json: {len(wanted) - len(failed)} of {len(wanted)} benchmarks"
          + (f"; failed: {', '.join(failed)}" if failed else ""))
    return program.FAILED if failed else None


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def _before(path: pathlib.Path) -> dict[str, dict]:
    """What stands there of benchmarks that there still are: those that are measured now take its place, one by one."""
    kept = read_json(f"{path}.json")["benchmarks"] if pathlib.Path(f"{path}.json").exists() else {}
    return {name: one for name, one in kept.items() if name in ALL}


def measure(benchmark: Benchmark, platform: str, plot: pathlib.Path) -> dict:
    """What it wrote, "numbers", with "seconds" and when it was "measured"; the last line it said, "failure", where it
    failed, perhaps in a part of what it does. What it drew goes to `plot`.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, began = pathlib.Path(folder, "table.md"), time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{benchmark.module}", *benchmark.flags,
                   *(benchmark.on_gpu if platform == "gpu" else ()), *(benchmark.quick if QUICK.value else ()),
                   f"--out={out}"]
        last = "it said nothing"
        with subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            for line in process.stdout:
                print(line, end="", flush=True)
                last = line.strip() or last
        found = {}
        if out.exists():
            found = {"numbers": json.loads(out.with_suffix(".json").read_text().replace(f" --out={out}", "")),
                     "seconds": time.monotonic() - began, "measured": time.strftime("%Y-%m-%d")}
        if out.with_suffix(".png").exists():
            plot.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(out.with_suffix(".png"), plot)
            found["plot"] = plot.name
        if process.returncode or not out.exists():
            found["failure"] = "a part of it, as the table says" if out.exists() else last
        return found


def _write(path: pathlib.Path, device: str, found: dict[str, dict]) -> None:
    found = {name: found[name] for name in ALL if name in found}
    parts = [_part(name, one) for name, one in found.items()]
    if not QUICK.value and (rows := standing(found, device)):
        parts.insert(0, "\n".join(["## What is wanted", "", *table_lines(HEAD, rows), ""]))
    warning = "Smallest sizes: these numbers show that benchmarks run, and nothing else.\n\n" if QUICK.value else ""
    write_text_atomic(f"{path}.md", f"# {device}\n\n{warning}" + "\n".join(parts))
    write_json_atomic(f"{path}.json", {"device": device, "quick": QUICK.value, "benchmarks": found})


def _part(name: str, one: dict) -> str:
    table = markdown(one["numbers"]) if "numbers" in one else f"## {name}\n"
    plot = f"\n![{name}]({one['plot']})\n" if "plot" in one else ""
    when = f"\nMeasured on {one['measured']}.\n" if "measured" in one else ""
    failure = f"\nFailed when it was last run: {one['failure']}\n" if "failure" in one else ""
    return table + plot + when + failure


if __name__ == "__main__":
    program.run(main, __doc__)
