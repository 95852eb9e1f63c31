"""The table and the plot of benchmarks/learning.py."""

import itertools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from tabulate import tabulate

from edgeconnect.evaluation.curves import COLOURS, LEGEND, PANEL, STYLE
from edgeconnect.evaluation.report.tables import number
from edgeconnect.metrics.definitions import DEFINITIONS

DASHES = ("--", ":", "-.")  # of classical methods


def spread(values: Sequence[float | None], metric: str) -> str:
    """Write the mean over the seeds and half their range; nothing where it was not measured."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    mean, half = statistics.mean(known), (max(known) - min(known)) / 2
    unit = DEFINITIONS[metric].unit
    return number(mean, unit) + (f" ± {number(half, unit)}" if len(known) > 1 else "")


def table(result: Mapping[str, Any]) -> str:
    """Arrange the last value of each metric: variants down, then classical methods."""
    metrics, seeds = result["study"]["metrics"], result["study"]["seeds"]
    rows = []
    for name, found in result["variants"].items():
        runs = [found[seed] for seed in seeds]
        lasts = [{m: p[m] for p in run["points"] for m in metrics if p[m] is not None} for run in runs]
        ends = " + ".join(str(end) for end in runs[0]["iterations"].values())
        minutes = ", ".join(f"{run['minutes']:.2f}" for run in runs)
        rows.append([name, *(spread([last.get(m) for last in lasts], m) for m in metrics), ends, minutes])
    rows += [[name, *(spread([means[m]], m) for m in metrics)] for name, means in result["classical"].items()]
    heads = ["", *(f"{m} {DEFINITIONS[m].arrow}" for m in metrics), "iterations", "minutes"]
    failed = "".join(f"\n{name} failed: {why}\n" for name, why in result["failures"].items())
    caption = f"Means of {len(seeds)} seeds ± half their range, minutes of each."
    return f"{tabulate(rows, heads, tablefmt='github', disable_numparse=True)}\n\n{caption}\n{failed}"


def draw(result: Mapping[str, Any], path: Path) -> None:
    """Draw a panel for each metric over the minutes trained: means of the seeds, their range as a band."""
    metrics = result["study"]["metrics"]
    with mpl.rc_context(STYLE):
        figure = Figure((PANEL[0] * len(metrics), PANEL[1] + LEGEND), layout="constrained")
        for axes, metric in zip(figure.subplots(1, len(metrics), squeeze=False)[0], metrics, strict=True):
            axes.set(title=f"{metric} {DEFINITIONS[metric].arrow}", xlabel="minutes of training")
            for colour, (name, found) in zip(itertools.cycle(COLOURS), result["variants"].items(), strict=False):
                points = zip(*(run["points"] for run in found.values()), strict=True)
                shown = [seeds for seeds in points if all(point[metric] is not None for point in seeds)]
                x = [statistics.mean(point["minutes"] for point in seeds) for seeds in shown]
                values = [[point[metric] for point in seeds] for seeds in shown]
                axes.fill_between(x, [min(v) for v in values], [max(v) for v in values], color=colour, alpha=0.2)
                axes.plot(x, [statistics.mean(v) for v in values], ".-", color=colour, label=name)
            for dashes, (name, means) in zip(itertools.cycle(DASHES), result["classical"].items(), strict=False):
                if means[metric] is not None:
                    axes.axhline(means[metric], color="#59626d", linestyle=dashes, linewidth=1, label=name)
        named = {
            text: line for axes in figure.axes for line, text in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(named.values(), named.keys(), loc="outside lower left", ncols=6, frameon=False)
        figure.savefig(path, dpi=150)
