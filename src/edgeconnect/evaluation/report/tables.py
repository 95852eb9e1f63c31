"""Results as tables: CSV for programs, Markdown for pages, LaTeX for papers, aligned text for a terminal."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from tabulate import tabulate

from edgeconnect.errors import counted
from edgeconnect.evaluation.results import ALL, Cell, EvaluationResults, MethodResults
from edgeconnect.metrics.definitions import LPIPS, Definition
from edgeconnect.plain import csv_text

DIGITS = {"dB": 2}
USUAL_DIGITS = 4
SUMMED_UP = ("psnr_rgb", "ssim_rgb_gauss11", "l1_hole", *LPIPS, "edge_f1", "canny_f1")
ESCAPED = str.maketrans(
    {c: f"\\{c}" for c in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}"}
    | {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}
)


class Shown(NamedTuple):
    """A cell as text, empty where nothing was measured: `23.58`, `[23.10, 24.01]`, `(n=7)`; `best` is bold."""

    value: str = ""
    interval: str = ""
    notes: str = ""
    best: bool = False

    @property
    def text(self) -> str:
        """Return everything in one line."""
        return " ".join(part for part in self[:3] if part)


class Row(NamedTuple):
    """The cells of one method; `number` is its place among the methods, which decides its marker and colour."""

    label: str
    number: int
    cells: list[Shown]


class Table(NamedTuple):
    """One metric: the methods that have it down, (bin, items) across, all items together in the last column."""

    metric: str
    definition: Definition
    columns: list[tuple[str, int]]
    rows: list[Row]


def tables(results: EvaluationResults) -> list[Table]:
    """Arrange every metric."""
    found, columns = [], [(name, bin_.items) for name, bin_ in results.bins.items()]
    for metric, definition in results.metrics.items():
        rows = [
            Row(method.label, number, [_shown(results, method, metric, bin_) for bin_ in results.bins])
            for number, method in enumerate(results.methods)
            if any(row[metric].n for row in method.bins.values())
        ]
        found.append(Table(metric, definition, columns, rows))
    return found


def _shown(results: EvaluationResults, method: MethodResults, metric: str, bin_: str) -> Shown:
    """Write a cell; a mean over fewer items than the column's says over how many, how many were capped or empty."""
    cell: Cell = method.bins[bin_][metric]
    if not cell.n:
        return Shown()
    notes = [f"n={cell.n}"] if cell.n != results.bins[bin_].items else []
    notes += [f"{number} {kind}" for number, kind in ((cell.capped, "capped"), (cell.empty, "empty")) if number]
    value, low, high = (number(part, results.metrics[metric].unit) for part in cell[:3])
    best = cell.value == results.best(metric, bin_)
    return Shown(value, f"[{low}, {high}]", f"({', '.join(notes)})" if notes else "", best)


def number(value: float, unit: str) -> str:
    """Write a value with the digits that its unit deserves."""
    return f"{value:.{DIGITS.get(unit, USUAL_DIGITS)}f}"


def overall(results: EvaluationResults, chosen: Sequence[Table]) -> list[Row]:
    """Arrange all items together: every method down, metrics across."""
    last = [{row.number: row.cells[-1] for row in table.rows} for table in chosen]
    return [
        Row(method.label, number, [column.get(number, Shown()) for column in last])
        for number, method in enumerate(results.methods)
    ]


def of_dataset(results: EvaluationResults) -> tuple[list[str], list[Row]]:
    """Return the names of what is measured of all pictures together, such as FID, and a row for each method."""
    names = list(dict.fromkeys(name for method in results.methods for name in method.dataset))
    rows = []
    for number, method in enumerate(results.methods):
        values = [method.dataset.get(name, math.nan) for name in names]
        rows.append(Row(method.label, number, [Shown("" if math.isnan(v) else f"{v:.5g}") for v in values]))
    return names, rows


def dataset_caption(results: EvaluationResults) -> str:
    """Say how many pictures stand against how many, by what, and what too few of them mean."""
    pictures = f"{counted(results.bins[ALL].items, 'completed picture')} against {results.pictures} true"
    return f"{pictures}, {results.extractor or 'extractor not recorded'}; below 2,048 FID is biased"


def provenance(method: MethodResults) -> str:
    """Say where the weights of a method come from, nothing for one without."""
    return ", ".join(f"{name} {value}" for name, value in method.provenance.items())


def heading(results: EvaluationResults) -> str:
    """Say how many items and pictures every mean is over."""
    return f"{counted(results.bins[ALL].items, 'item')} of {counted(results.pictures, 'picture')}"


def summary(results: EvaluationResults) -> str:
    """Align the means over all items for a terminal: methods down, metrics across."""
    chosen = [table for table in tables(results) if table.metric in SUMMED_UP]
    dataset, scores = of_dataset(results)
    heads = ["", *(f"{table.metric} {table.definition.arrow}" for table in chosen), *(f"{name} ↓" for name in dataset)]
    pairs = zip(overall(results, chosen), scores, strict=True)
    rows = [[row.label, *(cell.text or "-" for cell in (*row.cells, *score.cells))] for row, score in pairs]
    text = tabulate(rows, heads, tablefmt="plain", disable_numparse=True)
    return f"{heading(results)}, means with 95 % intervals\n{text}"


def as_csv(results: EvaluationResults) -> str:
    """Write one line for each method, bin and metric, numbers to the last digit."""
    rows: list[Sequence[object]] = [("method", "edges", "bin", "measure", "mean", "low", "high", "n", "capped")]
    items = results.bins[ALL].items
    for m in results.methods:
        for bin_, cells in m.bins.items():
            rows += [(m.name, m.edges, bin_, name, *cell[:3], cell.n, cell.capped) for name, cell in cells.items()]
        rows += [(m.name, m.edges, ALL, name, value, None, None, items, 0) for name, value in m.dataset.items()]
    return csv_text(rows)


def as_markdown(results: EvaluationResults) -> str:
    """Write a heading, a legend and a table for each metric; the best of a column in bold."""
    origins = [f"- {m.label}: {provenance(m)}" for m in results.methods if m.provenance]
    blocks = [f"{heading(results)}. Means with 95 % intervals.", *(["\n".join(origins)] if origins else [])]
    for table in tables(results):
        unit = f", {table.definition.unit}" if table.definition.unit else ""
        blocks += [f"### {table.metric} {table.definition.arrow}", f"{table.definition.what}{unit}"]
        blocks.append(_piped([f"{name} n={items}" for name, items in table.columns], table.rows))
    names, rows = of_dataset(results)
    blocks += [f"### {dataset_caption(results)}", _piped(names, rows)] if names else []
    return "\n\n".join(blocks) + "\n"


def _piped(heads: Sequence[str], rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        cells = [f"**{cell.text}**" if cell.best else cell.text for cell in row.cells]
        lines.append([cell.replace("|", "\\|") for cell in (row.label, *cells)])
    return tabulate(lines, ["", *heads], tablefmt="github", disable_numparse=True)


def as_latex(results: EvaluationResults) -> str:
    """Write a booktabs table for each metric, intervals below the means; the best of a column in bold."""
    blocks = [r"% \usepackage{booktabs}"]
    for table in tables(results):
        arrow = r"$\uparrow$" if table.definition.higher_is_better else r"$\downarrow$"
        caption = f"{table.metric.translate(ESCAPED)} {arrow}: {table.definition.what.translate(ESCAPED)}"
        lines = [["items", *(str(items) for _, items in table.columns)]]
        for row in table.rows:
            values = [(f"{cell.value} {cell.notes}".strip(), cell.best) for cell in row.cells]
            marked = [rf"\textbf{{{text}}}" if best else text for text, best in values]
            lines.append([row.label.translate(ESCAPED), *marked])
            lines.append(["", *(rf"{{\scriptsize {cell.interval}}}" if cell.interval else "" for cell in row.cells)])
        blocks.append(_tabular(table.metric, caption, ["hole ratio in %", *(name for name, _ in table.columns)], lines))
    names, rows = of_dataset(results)
    if names:
        lines = [[row.label.translate(ESCAPED), *(cell.value for cell in row.cells)] for row in rows]
        blocks.append(_tabular("dataset", dataset_caption(results).translate(ESCAPED), ["", *names], lines))
    return "\n\n".join(blocks) + "\n"


def _tabular(label: str, caption: str, heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table of columns by their `heads`; all but these is escaped already."""
    escaped = [head.translate(ESCAPED) for head in heads]
    head, *body = (" & ".join(cells) + r" \\" for cells in (escaped, *lines))
    begin = [r"\begin{table}", rf"\caption{{{caption}}}", rf"\label{{tab:{label.replace('_', '-')}}}"]
    begin += [rf"\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}", r"\toprule", head, r"\midrule"]
    return "\n".join([*begin, *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"])
