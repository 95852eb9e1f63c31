"""CSV, Markdown, LaTeX and text: the same numbers, nothing that breaks a row, and who is best."""

import csv
import io
import math
import re

import pytest
from evaluations import DRAWN_COUNTS, preprocessing

from edgeconnect.evaluation.manifest import Item, Manifest
from edgeconnect.evaluation.report import tables
from edgeconnect.evaluation.results import Measured, summarize
from edgeconnect.evaluation.study import EDGE_COUNTS

HOSTILE = r"a|b_c%&#${}~^\[<"


@pytest.fixture(scope="module")
def found():
    """Two bins of four items each; the second method is as good as the first where holes are large."""
    ratios = [0.05] * 4 + [0.15] * 4
    items = tuple(Item(f"i{n}", f"{n}.png", "m.png", -1, ratio, str(n), "") for n, ratio in enumerate(ratios))

    def rows(values, l1, ssim):
        nothing = dict.fromkeys(EDGE_COUNTS, float("nan"))
        measures = [{"psnr_rgb": value, "ssim_rgb_gauss11": ssim, "l1_hole": l1} for value in values]
        return {item.id: row | nothing for item, row in zip(items, measures, strict=True)}

    first = rows([20, 21, 22, 100.0] + [30.0] * 4, 0.1, float("nan"))
    first["i0"]["ssim_rgb_gauss11"] = 0.87654321
    second = rows([1 / 3] * 4 + [30.0] * 4, 0.02, 0.5)
    edges = {item.id: dict(zip(DRAWN_COUNTS, (1, 2, 2), strict=True)) for item in items}
    methods = [
        Measured("first", "", first, {"fid": 123.456789}),
        Measured(HOSTILE, "ground-truth", second, {}),
        Measured("lines", "strict", edges, {}),
    ]
    return summarize(Manifest(preprocessing(), items), methods, [])


def by_name(found):
    return {table.metric: table for table in tables.tables(found)}


def test_best_is_the_highest_or_the_lowest_and_ties_share(found):
    psnr, l1 = by_name(found)["psnr_rgb"], by_name(found)["l1_hole"]
    assert (psnr.definition.arrow, l1.definition.arrow) == ("↑", "↓")
    assert [[cell.best for cell in row.cells] for row in psnr.rows] == [[True, True, True], [False, True, False]]
    assert [[cell.best for cell in row.cells] for row in l1.rows] == [[False] * 3, [True] * 3]


def test_cells_say_over_how_many_items(found):
    psnr, ssim = by_name(found)["psnr_rgb"], by_name(found)["ssim_rgb_gauss11"]
    assert psnr.columns == [("(1,10]", 4), ("(10,20]", 4), ("all", 8)]
    assert re.fullmatch(r"40\.75 \[\d+\.\d\d, \d+\.\d\d\] \(1 capped\)", psnr.rows[0].cells[0].text)
    said = "0.8765 [0.8765, 0.8765] (n=1)"
    assert [cell.text for cell in ssim.rows[0].cells] == [said, "", said]
    assert [cell.best for cell in ssim.rows[0].cells] == [True, False, True]


def test_methods_without_a_measure_are_not_in_its_table(found):
    assert [row.label for row in by_name(found)["edge_f1"].rows] == ["lines (strict edges)"]
    assert [row.label for row in by_name(found)["l1_hole"].rows] == ["first", f"{HOSTILE} (ground-truth edges)"]


def test_csv_has_every_number_to_the_last_digit(found):
    rows = list(csv.DictReader(io.StringIO(tables.as_csv(found))))
    assert {row["method"] for row in rows} == {"first", HOSTILE, "lines"}
    for method in found.methods:
        mine = [row for row in rows if row["method"] == method.name]
        assert {row["edges"] for row in mine} == {method.edges}
        read = {(row["bin"], row["measure"]): row for row in mine}
        for bin_, cells in method.bins.items():
            for name, cell in cells.items():
                row = read.pop((bin_, name))
                numbers = [float(row[key]) if row[key] else math.nan for key in ("mean", "low", "high")]
                assert numbers == pytest.approx(cell[:3], rel=0, abs=0, nan_ok=True)
                assert [int(row[key]) for key in ("n", "capped")] == [cell.n, cell.capped]
        assert {name: float(row["mean"]) for (_, name), row in read.items()} == method.dataset


def test_markdown_rows_hold_together(found):
    text = re.sub(" +", " ", tables.as_markdown(found))
    blocks = text.split("### ")[1:]
    assert len(blocks) == len(found.metrics) + 1
    for block in blocks:
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows}) == 1
    assert r"| a\|b_c" in text
    assert "(ground-truth edges)" in text
    assert "| lines (strict edges) | **0.5000 [0.5000, 0.5000]** |" in text
    assert "| first | 123.46 |" in blocks[-1]


def test_latex_is_escaped_and_says_what_markdown_says(found):
    first, text = tables.as_latex(found).split("\n", 1)
    assert re.fullmatch(r"%.*booktabs.*", first)
    assert set(re.findall(r"\\label\{tab:(.*)\}", text)) >= {"psnr-rgb", "edge-f1", "dataset"}
    plain = re.sub(r"\\(textbackslash|textasciitilde|textasciicircum|textbar|textless|textgreater)\{\}", "", text)
    plain = re.sub(r"\\[_%&#${}]", "", plain)
    assert not re.search(r"[_%#~^<>|]", plain)
    assert plain.count("{") == plain.count("}")
    for line in plain.splitlines():
        if line.endswith(r"\\"):
            assert line.count(" & ") in (3, 1)
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == len(found.metrics) + 1
    assert r"a\textbar{}b\_c\%\&\#\$\{\}\textasciitilde{}\textasciicircum{}\textbackslash{}{[}\textless{}" in text
    assert re.search(r"\\textbf\{30\.00\} & \\textbf\{35\.38 \(1 capped\)\} \\\\\n & \{\\scriptsize \[\d", text)
    assert r"items & 4 & 4 & 8 \\" in text
    assert r"first & \textbf{0.8765 (n=1)} &  & \textbf{0.8765 (n=1)} \\" in text
    assert r"lines (strict edges) & \textbf{0.5000} & \textbf{0.5000} & \textbf{0.5000} \\" in text
    assert r"first & 123.46 \\" in text


def test_the_terminal_is_told_all_items(found):
    lines = tables.summary(found).splitlines()
    assert lines[0].startswith("8 items of 8 pictures")
    assert lines[1].split() == ["psnr_rgb", "↑", "ssim_rgb_gauss11", "↑", "l1_hole", "↓", "edge_f1", "↑", "fid", "↓"]
    assert [line.split("  ")[0] for line in lines[2:]] == [
        "first",
        f"{HOSTILE} (ground-truth edges)",
        "lines (strict edges)",
    ]
    assert lines[2].endswith("123.46")
    assert lines[-1].split()[-2:] == ["0.5000]", "-"]
