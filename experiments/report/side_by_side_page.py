"""The comparison of two studies as tables, sentences, one plot, an HTML page, Markdown and lines for the terminal."""

import pathlib
import textwrap
from typing import Any

from arch_zoo.analysis.statistics import Paired, format_number
from arch_zoo.files import write_bytes_atomic, write_text_atomic
from experiments.report.build import plain
from experiments.report.config_tables import ledger_table, show
from experiments.report.findings import listed
from experiments.report.page import TEMPLATES, as_data
from experiments.report.plots import PALETTE, STYLE, panels, rendered, wrapped
from experiments.report.side_by_side import SIDES, Difference, SideBySide
from experiments.report.table import Entry, Notes, Table, bounds, columns, short_p, signed
from experiments.templates import environment

COLOURS = dict(zip(SIDES, PALETTE, strict=False))


def write_pages(found: SideBySide, places: tuple[str, str], out: pathlib.Path, command: str) -> pathlib.Path:
    """compare.html and compare.md in `out`; returns the first."""
    content = _content(found, places, command)
    images = _plot(found)
    write_bytes_atomic(out / "plots" / "side_by_side.png", images["png"])
    html = environment(TEMPLATES, escape=True).get_template("compare.html.jinja").render(
        content, plots=as_data({"side_by_side": images["svg"]}), colours=COLOURS)
    write_text_atomic(out / "compare.html", html)
    write_text_atomic(out / "compare.md",
                      environment(TEMPLATES, escape=False).get_template("compare.md.jinja").render(content))
    return out / "compare.html"


def terminal_text(found: SideBySide) -> str:
    """The table of differences and the sentences around it."""
    said = [in_words(found), how_tested(found), *warnings(found), fields_in_words(found)]
    return "\n\n".join([plain(differences_table(found)), *(textwrap.fill(words, 110) for words in said)])


def _content(found: SideBySide, places: tuple[str, str], command: str) -> dict[str, Any]:
    return {"found": found, "sides": [{"letter": letter, "title": study.record["title"], "place": place,
                                       "seeds": len(study.seeds), "arms": len(study.compared)}
                                      for letter, study, place in zip(SIDES, found.studies, places, strict=True)],
            "answer": in_words(found), "how_tested": how_tested(found), "warnings": warnings(found),
            "differences": differences_table(found), "fields": fields_table(found),
            "fields_words": fields_in_words(found), "ledger": ledgers(found), "command": command}


def differences_table(found: SideBySide) -> Table:
    """A row for each metric and arm: both means, the difference and its test."""
    notes, rows, before = Notes(), [], None
    for one in found.differences:
        first, before = one.metric != before, one.metric
        rows.append((Entry(one.metric.title, one.metric.unit) if first else Entry(""),
                     Entry(found.studies[0].names[one.arm]), *(_mean(side) for side in one.sides),
                     *_tested(one, notes), Entry(_reading(one), strong=one.significant)))
    head = (*columns("Metric", "Arm"), *(Entry(letter, arm=letter) for letter in SIDES),
            *columns("B over A", "95 % interval", "Test", "p", "Holm\u00a0p", "Reading"))
    return Table(head, tuple(rows), notes.all(), labels=2)


def _mean(side: Any) -> Entry:
    return Entry("n/a") if side is None else Entry(format_number(side.mean), bounds(side.low, side.high) or "one seed")


def _tested(one: Difference, notes: Notes) -> tuple[Entry, ...]:
    if one.tested is None:
        return (Entry("–"),) * 5
    interval = one.tested.interval
    kind = "paired" if isinstance(one.tested, Paired) else "Welch"
    return (Entry(signed(interval.mean)), Entry(bounds(interval.low, interval.high, signed) or "–"),
            Entry(kind, mark=notes.mark(one.unpaired_because) if one.unpaired_because else ""),
            Entry(short_p(one.tested.p)), Entry(short_p(one.p)))


def _reading(one: Difference) -> str:
    if one.tested is None:
        return "n/a"
    if one.tested.mean == 0:
        return "the same"
    if one.p is None:
        return "not tested"
    if not one.significant:
        return "not significant"
    return "B better" if one.tested.mean > 0 else "B worse"


def in_words(found: SideBySide) -> str:
    """Metric by metric: on which arms B is better or worse beyond the noise."""
    said = []
    names = found.studies[0].quoted
    for metric in dict.fromkeys(one.metric for one in found.differences):
        own = [one for one in found.differences if one.metric == metric and one.tested is not None]
        better = [names[one.arm] for one in own if one.significant and one.tested.mean > 0]
        worse = [names[one.arm] for one in own if one.significant and one.tested.mean < 0]
        if not own:
            said.append(f"{metric.title}: no arm has a value in both.")
            continue
        if all(one.tested.mean == 0 for one in own):
            said.append(f"{metric.title}: the same in both.")
            continue
        if all(one.p is None for one in own):
            said.append(f"{metric.title}: too few seeds to tell a difference from noise.")
            continue
        parts = [f"B is better on {listed(better, 6)}" if better else "", f"worse on {listed(worse, 6)}"
                 if better and worse else f"B is worse on {listed(worse, 6)}" if worse else ""]
        words = " and ".join(part for part in parts if part)
        said.append(f"{metric.title}: {words}, beyond the noise." if words else
                    f"{metric.title}: no difference beyond the noise on any of {len(own)} arm{'s' * (len(own) > 1)}.")
        if alike := [names[one.arm] for one in own if one.p is None and one.tested.mean]:
            said.append(f"Not tested, for want of spread or of seeds: {listed(alike, 6)}.")
    return " ".join(said)


def how_tested(found: SideBySide) -> str:
    """Which test was made, and why."""
    tested = [one for one in found.differences if one.tested is not None]
    why = dict.fromkeys(one.unpaired_because for one in tested)
    paired = "" in why and ("Arms are paired by seed: the same seed gave both studies the same data in the same order.")
    unpaired = [reason for reason in why if reason]
    words = f"Welch’s test for independent values stands where {listed(unpaired)}." if unpaired else ""
    return " ".join([*filter(None, [paired, words]), "Holm’s correction is over all differences."])


def warnings(found: SideBySide) -> list[str]:
    """What a reader must know before believing the table."""
    said = []
    for letter, study, only, metrics in zip(SIDES, found.studies, found.only, found.only_metrics, strict=True):
        if missing := study.unfinished():
            said.append(f"{letter}: {len(missing)} of {len(study.cells)} cells have no result.")
        if only:
            said.append(f"Only in {letter}: {listed([study.quoted[slug] for slug in only])}.")
        if metrics:
            said.append(f"Measured in {letter} only: {listed(list(metrics))}.")
    if found.declared:
        said.append(f"Arms of the same name are not the same arm in both studies: they differ in "
                    f"{listed(list(found.declared))}, which the studies declare to vary.")
    about = [m.title for m in dict.fromkeys(one.metric for one in found.differences)
             if (other := found.studies[1].metric(m.key)) and (other.about, other.unit) != (m.about, m.unit)]
    if about:
        said.append(f"Measured in another way in the two studies: {listed(about)}.")
    return said


def fields_in_words(found: SideBySide) -> str:
    """How many fields of the config differ between the studies."""
    if not found.fields:
        return "Beyond what is declared to vary, the configs of common arms are the same."
    return (f"Beyond what is declared to vary, the studies differ in {listed(list(found.fields), 8)}."
            if len(found.fields) <= 8 else
            f"Beyond what is declared to vary, the studies differ in {len(found.fields)} fields of the config.")


def fields_table(found: SideBySide) -> Table:
    """The fields that differ, with both values; arms that agree on them share a row."""
    rows = []
    names = found.studies[0].names
    for path, by_arm in (found.declared | found.fields).items():
        groups: dict[str, list[str]] = {}
        for slug, values in by_arm.items():
            groups.setdefault(repr(values), []).append(slug)
        for slugs in groups.values():
            values = by_arm[slugs[0]]
            where = "all arms" if len(slugs) == len(found.arms) else listed([names[slug] for slug in slugs], 6)
            rows.append((Entry(path), *(Entry(show(value)) for value in values), Entry(where)))
    head = (Entry("Field"), *(Entry(letter, arm=letter) for letter in SIDES), Entry("of"))
    return Table(head, tuple(rows), labels=4)


def ledgers(found: SideBySide) -> Table:
    """Both ledgers, arm by arm."""
    tables = [ledger_table(study) for study in found.studies]
    by_slug = [dict(zip(study.names, table.rows, strict=True)) for study, table in
               zip(found.studies, tables, strict=True)]
    rows = []
    for slug in found.arms:
        for i, (letter, of_side) in enumerate(zip(SIDES, by_slug, strict=True)):
            rows.append((Entry("" if i else found.studies[0].names[slug]), Entry(letter, arm=letter),
                         *of_side[slug][1:]))
    return Table((tables[0].head[0], Entry("Study"), *tables[0].head[1:]), tuple(rows), labels=2)


def _plot(found: SideBySide) -> dict[str, bytes]:
    import matplotlib

    metrics = list(dict.fromkeys(one.metric for one in found.differences))
    names = [wrapped(found.studies[0].names[slug], 40) for slug in found.arms]
    with matplotlib.rc_context(STYLE):
        figure, axes = panels(len(metrics), 1.0 + 0.42 * len(names))
        for i, (panel, metric) in enumerate(zip(axes, metrics, strict=True)):
            own = [one for one in found.differences if one.metric == metric]
            for row, one in enumerate(own):
                for side, letter, shift in zip(one.sides, SIDES, (-0.14, 0.14), strict=True):
                    _point(panel, side, row + shift, COLOURS[letter], hollow=letter == "A")
            panel.set(title=wrapped(metric.title, 42), xlabel=f"{metric.unit} ({metric.better} is better)",
                      ylim=(len(names) - 0.5, -0.6))
            panel.set_yticks(range(len(names)), names if i % 3 == 0 else [""] * len(names))
            panel.tick_params(axis="y", length=0, labelcolor="#1f2937")
            panel.grid(axis="y", visible=False)
            panel.locator_params(axis="x", nbins=5)
        return rendered(figure)


def _point(panel: Any, side: Any, height: float, colour: str, hollow: bool) -> None:
    if side is None:
        return
    if side.low is not None:
        panel.plot([side.low, side.high], [height, height], "-", lw=1.8, color=colour, solid_capstyle="butt")
    panel.plot([side.mean], [height], "o", ms=6, color=colour, mfc="white" if hollow else colour, mew=1.4)
