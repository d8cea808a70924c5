"""Tokens a second and memory of each contender, as bars beside ours."""

import pathlib

from benchmarks.table import median


def draw(found: dict[str, list[dict]], path: pathlib.Path) -> None:
    """One group of bars for each model, each contender as a multiple of ours; the range is that of single steps."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    titles = list(dict.fromkeys(worker["title"] for workers in found.values() for worker in workers))
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 1.2 + 0.3 * sum(map(len, found.values()))), layout="constrained",
                                   sharey=True)
    places, labels = [], []
    for row, (model, workers) in enumerate(found.items()):
        ours = workers[0]
        for n, worker in enumerate(workers):
            y = row * (len(titles) + 1) + n
            color = f"C{titles.index(worker['title'])}"
            middle, base = median(worker["seconds"]), median(ours["seconds"])
            speeds = [base / seconds for seconds in (worker["seconds"][-1], middle, worker["seconds"][0])]
            axes[0].barh(y, speeds[1], color=color)
            axes[0].plot([speeds[0], speeds[2]], [y, y], color="black", linewidth=0.8)
            axes[1].barh(y, worker["peak_bytes"] / 1e6, color=color)
            axes[0].text(0.01, y, worker["title"], va="center", fontsize=8, color="white")
        places.append(row * (len(titles) + 1) + (len(workers) - 1) / 2)
        labels.append(model)
    axes[0].set_yticks(places, labels)
    axes[0].invert_yaxis()
    axes[0].axvline(1, color="grey", linewidth=0.8, linestyle=":")
    axes[0].set_xlabel("tokens a second, beside ours (line: slowest to fastest step)")
    axes[1].set_xlabel("peak memory, MB")
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
