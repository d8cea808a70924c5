"""What all plots of the report share: style, one colour per arm everywhere, panels, files of the same bytes."""

import colorsys
import io
import textwrap
from typing import Any

from experiments.report.record import Study

# Okabe and Ito 2008, "Color universal design": told apart under the common forms of colour blindness. Yellow left out:
# it cannot be read on white. After these, six of the "muted" scheme of Paul Tol 2021, "Colour schemes".
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000",
           "#882255", "#999933", "#332288", "#44AA99", "#AA4499", "#117733")
GREY, FAINT = "#6b7280", "#d7dae0"
STYLE = {"font.family": "DejaVu Sans", "font.size": 8.5, "axes.spines.top": False, "axes.spines.right": False,
          "axes.edgecolor": "#9aa1ab", "axes.labelcolor": "#374151", "xtick.color": GREY, "ytick.color": GREY,
          "axes.titlesize": 9.5, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.titlepad": 10,
          "axes.grid": True, "grid.color": "#eceef1", "axes.axisbelow": True, "svg.fonttype": "path",
          "svg.hashsalt": "arch_zoo", "figure.dpi": 100, "savefig.dpi": 160}
WIDTH, COLUMNS = 10.4, 3  # inches; panels in a row


def colours(study: Study) -> dict[str, str]:
    """{slug: colour}, in the study's order. More arms than the palette has go around the colour circle, in two tones.
    """
    count = len(study.names)
    if count <= len(PALETTE):
        return dict(zip(study.names, PALETTE, strict=False))
    hues = [0.02 + 0.88 * i / count for i in range(count)]
    # From yellow to cyan a hue is light as it is.
    tones = (colorsys.hls_to_rgb(hue, (0.34, 0.55)[i % 2] * (0.78 if 0.1 < hue < 0.55 else 1), 0.75)
             for i, hue in enumerate(hues))
    return {slug: "#" + "".join(f"{round(255 * part):02x}" for part in tone)
            for slug, tone in zip(study.names, tones, strict=True)}


def rendered(figure: Any) -> dict[str, bytes]:
    """{"svg": …, "png": …}. The same figure gives the same bytes: no date, ids hashed with a fixed salt."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    figure.draw_without_rendering()
    figure.set_layout_engine("none")  # what was laid out once stays
    dpi, svg, png = matplotlib.rcParams["savefig.dpi"], io.BytesIO(), io.BytesIO()
    # Not by print_figure, which draws everything twice where there has ever been a layout.
    figure.set_dpi(dpi)
    FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None})
    figure.set_dpi(dpi)  # once more: SVG has its own
    FigureCanvasAgg(figure).print_png(png, metadata={})
    return {"svg": svg.getvalue(), "png": png.getvalue()}


def panels(count: int, height: float, columns: int = COLUMNS, **options: Any) -> tuple[Any, list[Any]]:
    """A figure with `count` panels, at most `columns` in a row."""
    from matplotlib.figure import Figure

    columns = min(count, columns)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.12, h_pad=0.12)
    axes = list(figure.subplots(rows, columns, squeeze=False, **options).flat)
    for unused in axes[count:]:
        unused.set_visible(False)
    return figure, axes[:count]


def wrapped(text: str, width: int) -> str:
    """Text in lines of at most `width` characters where it can be broken: at spaces, and behind underscores."""
    lines = textwrap.wrap(text.replace("_", "_ "), width, break_long_words=False)
    return "\n".join(line.replace("_ ", "_") for line in lines) or text


def number_axis(panel: Any, numbers: tuple[float, ...], log: bool, labels: tuple[str, ...]) -> None:
    """Numbers to the right, with a tick at each of them and no other."""
    if log:
        panel.set_xscale("log")
    panel.set_xticks(numbers, labels)
    panel.set_xticks([], minor=True)
