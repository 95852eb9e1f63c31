"""Results as tables: CSV for programs, Markdown for pages, LaTeX for papers, aligned text for a terminal."""

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Results = Mapping[str, Any]
"""See `results.results`."""

DIGITS = {"dB": 2}
USUAL_DIGITS = 4
SUMMED_UP = ("psnr_rgb", "ssim_rgb_gauss11", "l1_hole", "lpips_alex", "lpips_vgg", "edge_f1")
ESCAPED = str.maketrans(
    {c: f"\\{c}" for c in "_%&#${}"}
    | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "[": "{[}"}
    | {"|": r"\textbar{}", "<": r"\textless{}", ">": r"\textgreater{}"}
)


class Table(NamedTuple):
    """One measure: methods down, bins across; `best` tells the cells that no other of their column beats."""

    measure: str
    arrow: str
    unit: str
    what: str
    columns: list[str]
    rows: list[tuple[str, list[str], list[bool]]]


def tables(results: Results) -> list[Table]:
    """Arrange every measure; a cell reads `23.58 [23.10, 24.01]`, nothing where it was not measured."""
    return [_table(results, name) for name in results["measures"]]


def _table(results: Results, name: str) -> Table:
    about, bins = results["measures"][name], list(results["bins"])
    digits = DIGITS.get(about["unit"], USUAL_DIGITS)
    columns = [f"{bin_} n={results['bins'][bin_]['items']}" for bin_ in bins]
    methods = [method for method in results["methods"] if any(method["bins"][b][name]["n"] for b in bins)]
    best = {b: _best([method["bins"][b][name]["value"] for method in methods], about["higher_is_better"]) for b in bins}
    rows = []
    for method in methods:
        cells = [method["bins"][b][name] for b in bins]
        texts = [_text(cell, results["bins"][b]["items"], digits) for b, cell in zip(bins, cells, strict=True)]
        rows.append(
            (
                label(method),
                texts,
                [c["value"] is not None and c["value"] == best[b] for b, c in zip(bins, cells, strict=True)],
            )
        )
    return Table(name, "↑" if about["higher_is_better"] else "↓", about["unit"], about["what"], columns, rows)


def label(method: Mapping[str, Any]) -> str:
    """Name a method with the protocol of its edges."""
    return f"{method['name']} ({method['edges']} edges)" if method["edges"] else str(method["name"])


def _best(values: Sequence[float | None], higher: bool) -> float | None:
    known = [value for value in values if value is not None]
    return (max if higher else min)(known, default=None)


def _text(cell: Mapping[str, Any], items: int, digits: int) -> str:
    """Write a cell; a mean over fewer items than the column's says over how many, how many were capped or empty."""
    if cell["value"] is None:
        return ""
    notes = [f"n={cell['n']}"] * (cell["n"] != items)
    notes += [f"{cell[kind]} {kind}" for kind in ("capped", "empty") if cell[kind]]
    text = f"{cell['value']:.{digits}f} [{cell['low']:.{digits}f}, {cell['high']:.{digits}f}]"
    return f"{text} ({', '.join(notes)})" if notes else text


def summary(results: Results, names: Sequence[str] = SUMMED_UP) -> str:
    """Align the means over all items for a terminal: methods down, measures across."""
    everything = results["bins"]["all"]
    chosen = [table for table in tables(results) if table.measure in names]
    of_set = list(dict.fromkeys(name for method in results["methods"] for name in method["set"]))
    rows = [["", *(f"{table.measure} {table.arrow}" for table in chosen), *(f"{name} ↓" for name in of_set)]]
    for method in results["methods"]:
        texts = [next((cells[-1] for who, cells, _ in table.rows if who == label(method)), "") for table in chosen]
        rows.append([label(method), *(text or "-" for text in texts)])
        rows[-1] += [f"{method['set'][name]:.5g}" if name in method["set"] else "-" for name in of_set]
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(
        [f"{everything['items']} items of {results['pictures']} pictures, means with 95 % intervals", *lines]
    )


def as_csv(results: Results) -> str:
    """Write one line for each method, bin and measure, numbers to the last digit."""
    text = io.StringIO()
    out = csv.writer(text, lineterminator="\n")
    out.writerow(["method", "edges", "bin", "measure", "mean", "low", "high", "n", "capped"])
    for method in results["methods"]:
        for bin_, cells in method["bins"].items():
            for name, cell in cells.items():
                numbers = (cell[key] for key in ("value", "low", "high", "n", "capped"))
                out.writerow([method["name"], method["edges"], bin_, name, *numbers])
        for name, value in method["set"].items():
            out.writerow(
                [method["name"], method["edges"], "all", name, value, "", "", results["bins"]["all"]["items"], 0]
            )
    return text.getvalue()


def as_markdown(results: Results) -> str:
    """Write a heading, a legend and a table for each measure; the best of a column in bold."""
    blocks = [f"Items: {results['bins']['all']['items']} of {results['pictures']} pictures. Means with 95 % intervals."]
    for table in tables(results):
        unit = f", {table.unit}" if table.unit else ""
        lines = [f"### {table.measure} {table.arrow}", "", f"{table.what}{unit}", ""]
        lines += [_piped(["", *table.columns]), _piped(["---"] * (len(table.columns) + 1))]
        for name, cells, best in table.rows:
            lines.append(_piped([name, *(f"**{c}**" if b else c for c, b in zip(cells, best, strict=True))]))
        blocks.append("\n".join(lines))
    blocks += ["\n".join(_set_lines(results))] if any(method["set"] for method in results["methods"]) else []
    return "\n\n".join(blocks) + "\n"


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _set_lines(results: Results) -> Iterator[str]:
    names, rows = _of_set(results)
    yield from (f"### {_set_caption(results)}", "", _piped(["", *names]), _piped(["---"] * (len(names) + 1)))
    yield from map(_piped, rows)


def _set_caption(results: Results) -> str:
    """Say how many pictures stand against how many, by what, and what too few of them mean."""
    of = f"{results['bins']['all']['items']} completed pictures against {results['pictures']} true ones"
    return f"{of}, {results.get('extractor', 'extractor not recorded')}; below 2,048 FID is biased"


def _of_set(results: Results) -> tuple[list[str], list[list[str]]]:
    """Return the names of what is measured of all pictures together, and a row for each method."""
    names = list(dict.fromkeys(name for method in results["methods"] for name in method["set"]))
    values = [[method["set"].get(name) for name in names] for method in results["methods"]]
    texts = [["" if value is None else f"{value:.5g}" for value in row] for row in values]
    return names, [[label(method), *row] for method, row in zip(results["methods"], texts, strict=True)]


def as_latex(results: Results) -> str:
    """Write a booktabs table for each measure; the best of a column in bold, intervals in the CSV."""
    blocks = ["\n".join(_latex(table)) for table in tables(results)]
    blocks += ["\n".join(_latex_set(results))] if any(method["set"] for method in results["methods"]) else []
    return "\n\n".join(blocks) + "\n"


def _latex(table: Table) -> Iterator[str]:
    arrow = r"$\uparrow$" if table.arrow == "↑" else r"$\downarrow$"
    heads, counts = zip(*(column.split(" n=") for column in table.columns), strict=True)
    caption = f"{table.measure.translate(ESCAPED)} {arrow}: {table.what.translate(ESCAPED)}"
    rows = [["items", *counts]]
    for name, cells, best in table.rows:
        texts = (re.sub(r" \[.*?\]", "", cell) for cell in cells)
        bold = [rf"\textbf{{{text}}}" if b else text for text, b in zip(texts, best, strict=True)]
        rows.append([name.translate(ESCAPED), *bold])
    yield from _tabular(caption, [r"hole ratio in \%", *(head.translate(ESCAPED) for head in heads)], rows)


def _latex_set(results: Results) -> Iterator[str]:
    names, rows = _of_set(results)
    escaped = [[cell.translate(ESCAPED) for cell in row] for row in rows]
    yield from _tabular(
        _set_caption(results).translate(ESCAPED), ["", *(name.translate(ESCAPED) for name in names)], escaped
    )


def _tabular(caption: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield from (r"\begin{table}", f"\\caption{{{caption}}}", f"\\begin{{tabular}}{{l{'r' * (len(heads) - 1)}}}")
    yield from (r"\toprule", " & ".join(heads) + r" \\", r"\midrule")
    yield from (" & ".join(row) + r" \\" for row in rows)
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")
