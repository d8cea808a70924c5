"""A short page about a finished ablation, for a repository: the answer beside the paper's, and the command."""

import pathlib
import shlex
from typing import Any

from arch_zoo.files import read_json, write_bytes_atomic, write_text_atomic
from arch_zoo.training.layout import RESULT_FILE
from arch_zoo.training.metrics import clock
from experiments.ablations.sources import called
from experiments.report import config_tables, tables
from experiments.report.content import gather
from experiments.report.figures import draw_plots
from experiments.report.findings import find
from experiments.report.page import TEMPLATES
from experiments.report.paper import paper_table
from experiments.report.record import load_study
from experiments.templates import environment

_HERE = pathlib.Path(__file__).parent
# {name of a plot: (what its file's name ends in, what it shows)}
_PLOTS = {"metrics": ("", "each metric by arm"), "profiles": ("_profiles", "block by block")}


def write_page(workdir: pathlib.Path, folder: pathlib.Path, table: str) -> pathlib.Path:
    """TABLE.md in `folder`, from the directory of a study, and its plots beside it; returns the page."""
    content = gather(find(load_study(workdir)))
    study, name = content.findings.study, table.replace(".", "_", 1)
    drawn, plots = draw_plots(content), {}
    for kind, (ending, about) in _PLOTS.items():
        if kind in drawn:  # there is none of a study without a value
            plots[f"{name}{ending}.png"] = about
            write_bytes_atomic(folder / f"{name}{ending}.png", drawn[kind]["png"])
    tuning = study.record.get("tuning")
    trials = [workdir / tuning["cells"].format(arm=arm, rate=rate) / RESULT_FILE
              for arm in study.names for rate in tuning["rates"]] if tuning else []
    results = [cell.result for cell in study.cells.values() if cell.done] + \
        [read_json(trial) for trial in trials if trial.is_file()]
    text = environment(_HERE, TEMPLATES, escape=False).get_template("page_in_docs.md.jinja").render(
        record={"question": "", "stand_in": "", **study.record, "command": _for_others(study.record["command"], name)},
        study=study, problems=study.unfinished(), results=tables.results_table(content.findings),
        judged=content.findings.claims,
        paper=[(column, paper_table(content.findings, column)) for column in content.paper
               if column.metric is not None],
        ledger=config_tables.ledger_table(study), wall=clock(sum(result.get("seconds", 0.0) for result in results)),
        rates=config_tables.rates_in_words(study) if tuning else "",
        reference=_about(study.record["configs"][study.reference]),
        plots=plots)
    write_text_atomic(folder / f"{name}.md", text)
    return folder / f"{name}.md"


def _about(config: dict[str, Any]) -> str:
    """A run in a few words."""
    model, data = config["model"], config["data"]
    return (f"{model['architecture']['name'].replace('_', '-')}, width {model['width']}, depth {model['depth']}, "
            f"{model['heads']} heads; {config['steps']:,} steps of {config['batch_size']} × {data['length']} tokens, "
            f"learning rate {config['optimizer']['learning_rate']:g}, "
            f"from {called(data['corpus'], data['mixed_with'])}")


def _for_others(command: str, name: str) -> str:
    """The command without the folders of the machine on which it ran."""
    places = {"--data": _data_for_others, "--workdir": lambda _: f"runs/{name}", "--page": lambda _: "docs/ablations"}
    words, found = iter(shlex.split(command)), []
    for word in words:
        flag, equals, value = word.partition("=")
        found.append(f"{flag}={places[flag](value if equals else next(words))}" if flag in places else word)
    return shlex.join(found)


def _data_for_others(data: str) -> str:
    """A dataset of TFDS as it is, files by their names, and any folder as FOLDER."""
    if data.startswith("tfds:"):
        return data
    return ",".join(pathlib.Path(part).name if pathlib.Path(part).suffix else "FOLDER" for part in data.split(","))
