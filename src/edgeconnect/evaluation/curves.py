"""Training curves: the CSV logs of one run or several, one picture for each stage."""

import contextlib
import csv
import io
import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from edgeconnect.atomic import write_whole
from edgeconnect.data.files import unique_suffixes
from edgeconnect.errors import UserError
from edgeconnect.methods.catalogue import stage_names

EPOCH, ITERATION = "epoch", "iteration"
COLOURS = ("#0072b2", "#c44e00", "#007a5a", "#a83e7c", "#8a6100", "#5b50cf", "#4b5662", "#b0302c")
ACROSS, PANEL = 3, (4.2, 2.7)  # panels in a row; inches of each
LEGEND = 0.7  # inches
FORMATS: dict[str, dict[str, Any]] = {".png": {}, ".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
BARE_STYLE: dict[Any, Any] = {
    **{"font.size": 9, "axes.spines.top": False, "axes.spines.right": False},
    **{"axes.grid": True, "grid.linewidth": 0.6, "axes.axisbelow": True},
}
TITLES = {"axes.titleweight": "bold", "axes.titlelocation": "left"}
STYLE = BARE_STYLE | TITLES | {"grid.color": "#dde2e7", "svg.hashsalt": "curves"}

Values = NDArray[np.float64]

Log = dict[str, Values]
"""The iterations and what is drawn over them by name, each (rows,), nan where a row has no value; empty without any."""


class Curves(NamedTuple):
    """The logs of one run at one stage; no validation is an empty log."""

    training: Log
    validation: Log


class PlotOptions(NamedTuple):
    """What is drawn; no columns means all, `smooth` is the weight of the values before, in [0, 1)."""

    columns: tuple[str, ...] = ()
    smooth: float = 0.9
    log_scale: bool = False


def draw(runs: Sequence[Path], stage: str, options: PlotOptions, output: Path | None) -> list[Path]:
    """Draw a stage, or with none named every stage of any run, and return the files written.

    Several stages go to `NAME_<stage>`; equal curves give equal bytes.
    Raises UserError where a log or column is missing, or the format unknown.
    """
    named = {"/".join(suffix): run for run, suffix in unique_suffixes(run.resolve() for run in runs).items()}
    stages = [stage] if stage else logged(runs)
    found = {name: {label: _curves(run, name, bool(stage)) for label, run in named.items()} for name in stages}
    panels = {name: chosen for name, curves in found.items() if (chosen := columns(curves.values(), options.columns))}
    refuse_unknown(options.columns, found)
    written = []
    for name, chosen in panels.items():
        path = output or runs[0] / f"curves_{name}.png"
        path = path.with_name(f"{path.stem}_{name}{path.suffix}") if output and len(panels) > 1 else path
        data = io.BytesIO()
        drawn = figure(name, found[name], chosen, options)
        with mpl.rc_context(STYLE):
            drawn.savefig(data, format=path.suffix[1:].lower(), dpi=150, metadata=FORMATS[path.suffix.lower()])
        write_whole(path, data.getvalue())
        written.append(path)
    return written


def logged(runs: Sequence[Path]) -> list[str]:
    """Name the stages that any run has a log of; each run must have one."""
    found = [stage for stage in stage_names() if any(_log(run, stage).is_file() for run in runs)]
    for run in runs:
        if not any(_log(run, stage).is_file() for stage in found):
            wanted = ", ".join(_log(run, stage).name for stage in stage_names())
            raise UserError(f"{run}: holds no training log; looked for {wanted}; name a run's folder")
    return found


def _log(run: Path, stage: str) -> Path:
    return run / f"log_{stage}.csv"


def _curves(run: Path, stage: str, required: bool) -> Curves:
    path, validation = _log(run, stage), _log(run, f"{stage}_val")
    if required and not path.is_file():
        raise UserError(f"{path}: does not exist; --stage {stage} draws what training wrote there")
    return Curves(*(read_log(file) if file.is_file() else {} for file in (path, validation)))


def read_log(path: Path) -> Log:
    """Read a log that training may be writing: rows that are cut off or no numbers are left out."""
    text = path.read_text("utf-8", errors="replace")
    header, *rows = list(csv.reader(text[: text.rfind("\n") + 1].splitlines())) or [[]]
    if header and ITERATION not in header:
        raise UserError(f"{path}: is no training log: its first line names no column {ITERATION}")
    parsed = []
    for row in rows:
        with contextlib.suppress(ValueError):
            parsed.append([float(cell) if cell else math.nan for _, cell in zip(header, row, strict=True)])
    table = np.asarray(parsed, dtype=np.float64).reshape(len(parsed), len(header))
    return {name: table[:, number] for number, name in enumerate(header) if name != EPOCH}


def columns(curves: Iterable[Curves], wanted: Sequence[str]) -> list[str]:
    """Name the columns that hold something to draw, in the order of the logs, or of those wanted."""
    logs = [log for run in curves for log in run]
    names = dict.fromkeys(name for log in logs for name, part in log.items() if np.isfinite(part).any())
    return [name for name in wanted or names if name in names and name != ITERATION]


def refuse_unknown(wanted: Sequence[str], found: Mapping[str, Mapping[str, Curves]]) -> None:
    """Raise UserError for columns that no log has, and where there is no finite number to draw."""
    logs = [log for curves in found.values() for run in curves.values() for log in run]
    stages, known = ", ".join(found), dict.fromkeys(name for log in logs for name in log if name != ITERATION)
    if not any(len(log.get(ITERATION, ())) for log in logs):
        raise UserError(f"the logs of {stages} hold nothing yet; training writes a row every LOG_INTERVAL")
    for name in wanted:
        if name not in known:
            raise UserError(f"--columns: {name} is in no log of {stages}; there are {', '.join(known)}")
    if not any(columns(curves.values(), wanted) for curves in found.values()):
        where = ", ".join(wanted) or "any column"
        raise UserError(f"the logs of {stages} hold no finite number in {where}; train anew with a lower LR")


def smoothed(values: Values, weight: float) -> Values:
    """Average exponentially, unbiased from the first value on; nan and infinity stay out and stay where they are."""
    finite = np.isfinite(values)
    sums = itertools.accumulate(values[finite], lambda mean, value: weight * mean + (1 - weight) * value, initial=0.0)
    result = values.copy()
    result[finite] = np.asarray(list(sums)[1:]) / (1 - weight ** np.arange(1, finite.sum() + 1))
    return result


def figure(stage: str, curves: Mapping[str, Curves], names: Sequence[str], options: PlotOptions) -> Figure:
    """Draw a panel for each column with every run in it."""
    across = min(ACROSS, len(names))
    down = math.ceil(len(names) / across)
    colours = dict(zip(curves, itertools.cycle(COLOURS), strict=False))
    with mpl.rc_context(STYLE):
        drawn = Figure((PANEL[0] * across, PANEL[1] * down + LEGEND), layout="constrained")
        panels = drawn.subplots(down, across, squeeze=False).ravel()
        for axes, name in itertools.zip_longest(panels, names):
            if name is None:
                axes.remove()
                continue
            axes.set_title(name)
            axes.set_xlabel(ITERATION)
            for label, run in curves.items():
                _draw(axes, run, name, colours[label], options)
            if options.log_scale and all(line.get_ydata().min() > 0 for line in axes.get_lines()):
                axes.set_yscale("log")
        drawn.suptitle(stage, x=0.01, ha="left", fontsize=13, fontweight="bold")
        handles = [Line2D([], [], color=colour, linewidth=2, label=label) for label, colour in colours.items()]
        if any(len(run.validation.get(ITERATION, ())) for run in curves.values()):
            handles += [Line2D([], [], color="#59626d", linestyle="--", marker="o", markersize=3.5, label="validation")]
        drawn.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False)
    return drawn


def _draw(axes: Axes, run: Curves, name: str, colour: str, options: PlotOptions) -> None:
    """Draw a run: what was logged faintly, smoothed over it, and the validation dashed with dots."""
    x, y = _finite(run.training, name)
    if options.smooth and len(x):
        axes.plot(x, y, color=colour, alpha=0.22, linewidth=0.8)
    if len(x):
        axes.plot(x, smoothed(y, options.smooth), color=colour, linewidth=1.6, marker="." if len(x) == 1 else "")
    x, y = _finite(run.validation, name)
    if len(x):
        axes.plot(x, y, "--o", color=colour, markersize=3.5, linewidth=1.1)


def _finite(log: Log, name: str) -> tuple[Values, Values]:
    finite = np.isfinite(log.get(name, np.empty(0)))
    return (log[ITERATION][finite], log[name][finite]) if finite.any() else (np.empty(0), np.empty(0))
