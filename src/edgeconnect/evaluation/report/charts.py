"""Curves of metrics over the hole ratio, as SVG that takes its colours from the page around it."""

import io
import re
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from edgeconnect.evaluation.curves import BARE_STYLE
from edgeconnect.evaluation.results import ALL, Cell, EvaluationResults
from edgeconnect.metrics.definitions import LPIPS

MARKERS = (("o", "●"), ("s", "■"), ("^", "▲"), ("D", "◆"), ("v", "▼"), ("p", "⬟"), ("h", "⬢"), ("*", "★"))
MAIN = ("psnr_rgb", "psnr_rgb_hole", "ssim_rgb_gauss11", "l1_hole", *LPIPS, "edge_f1", "canny_f1")
SIZE = (4.4, 2.9)  # inches of 72 units
INK, RULE = "#010101", "#020202"  # stand for the page's colours until the SVG is written
METADATA = ("Date", "Creator", "Format", "Type")  # left out, so that the same results give the same bytes
INKED = ("text.color", "axes.labelcolor", "xtick.color", "ytick.color", "axes.edgecolor")
FONT = {"svg.fonttype": "none", "font.family": "DejaVu Sans"}
STYLE = BARE_STYLE | FONT | {"grid.color": RULE} | dict.fromkeys(INKED, INK)


def marker(number: int) -> str:
    """Return the marker of a method in legends and tables."""
    return MARKERS[number % len(MARKERS)][1]


def colour(number: int) -> str:
    """Name the page's colour of a method."""
    return f"var(--series-{number % len(MARKERS)})"


def curves(results: EvaluationResults) -> dict[str, str]:
    """Draw the main metrics, as SVG by name; none where the holes lie in a single bin."""
    bins = [name for name, bin_ in results.bins.items() if name != ALL and bin_.items and bin_.ratio]
    shown = [name for name in MAIN if name in results.metrics]
    return {name: _curve(results, name, bins) for name in shown} if len(bins) > 1 else {}


def _curve(results: EvaluationResults, name: str, bins: Sequence[str]) -> str:
    with mpl.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel="mean hole ratio of the bin, %", ylabel=results.metrics[name].unit)
        for number, method in enumerate(results.methods):
            cells = [(100 * results.bins[bin_].ratio, method.bins[bin_][name]) for bin_ in bins]
            _draw(axes, number, [(ratio, cell) for ratio, cell in cells if cell.n])
        axes.set_xlim(left=0)
        text = io.StringIO()
        figure.savefig(text, format="svg", transparent=True, metadata=dict.fromkeys(METADATA))
    return _themed(text.getvalue(), f"{name} of every method over the hole ratio; the tables below hold the numbers")


def _draw(axes: Axes, number: int, cells: Sequence[tuple[float, Cell]]) -> None:
    """Draw one method over the hole ratio in percent: its means and, as a band, their intervals."""
    x, colour_ = [ratio for ratio, _ in cells], _stand_in(number)
    low, middle, high = [c.low for _, c in cells], [c.value for _, c in cells], [c.high for _, c in cells]
    axes.fill_between(x, low, high, color=colour_, alpha=0.14, linewidth=0)
    line = "-" if number < len(MARKERS) else "--"
    axes.plot(x, middle, line, color=colour_, marker=MARKERS[number % len(MARKERS)][0], markersize=4.5, linewidth=1.6)


def _stand_in(number: int) -> str:
    return f"#0301{number % len(MARKERS):02x}"


def _themed(svg: str, label: str) -> str:
    """Keep the drawing alone, with the page's colours and fonts, and a name for those who do not see it."""
    inks = {INK: "currentColor", RULE: "var(--rule)"} | {_stand_in(i): colour(i) for i in range(len(MARKERS))}
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<style.*?</style>", "", body, flags=re.DOTALL)
    body = re.sub(r' id="(?![pm][0-9a-f]{10}")[^"]*"', "", body)  # all but those of clip paths and markers
    body = re.sub("|".join(inks), lambda match: inks[match[0]], body)
    view = re.search(r'viewBox="[^"]*"', body)
    return re.sub(r"<svg[^>]*>", f'<svg class="curve" {view[0] if view else ""} role="img" aria-label="{label}">', body)
