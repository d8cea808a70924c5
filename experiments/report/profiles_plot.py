"""What metrics are block by block, where they have a profile over the depth of the stack."""

from typing import Any

from experiments.report.plots import colours, panels, wrapped
from experiments.report.record import Metric, Study


def profiles_figure(study: Study) -> Any | None:
    """A panel for each metric that has a profile: a line for each arm, the mean of its seeds; None without any."""
    means = {metric.key: found for metric in study.metrics if (found := _means(study, metric))}
    if not means:
        return None
    figure, axes = panels(len(means), 3.2, columns=1)
    for panel, (key, lines) in zip(axes, means.items(), strict=True):
        metric = study.metric(key)
        for slug, values in lines.items():
            panel.plot(range(1, len(values) + 1), values, "o-", ms=3, lw=1.2, color=colours(study)[slug],
                       label=wrapped(study.names[slug], 44))
        quantity = metric.title.partition(",")[0]  # what follows says which block the metric itself is of
        panel.set(title=f"{quantity}, block by block", xlabel="block, from the input", ylabel=metric.unit, yscale="log")
        panel.locator_params(axis="x", integer=True)
        panel.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def _means(study: Study, metric: Metric) -> dict[str, list[float]]:
    """{slug: mean over seeds, by block}."""
    found = {}
    for slug in study.compared:
        profiles = [profile for cell in study.cells_of(slug) if (profile := cell.measured(metric.key).profile)]
        if profiles:
            found[slug] = [sum(values) / len(values) for values in zip(*profiles, strict=True)]
    return found
