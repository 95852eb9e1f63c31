"""report.html: it stands alone, says what the tables say, and shows the items it should."""

import base64
import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from edgeconnect.evaluation.entries import Classical, Entry, Filled
from edgeconnect.evaluation.manifest import Preprocessing
from edgeconnect.evaluation.pairing import compose
from edgeconnect.evaluation.report.charts import curves
from edgeconnect.evaluation.report.gallery import GAIN, LONGEST, MOST_PICTURES, Gallery, error_map, frame, value_of
from edgeconnect.evaluation.report.page import render
from edgeconnect.evaluation.results import Measured, summarize
from edgeconnect.evaluation.study import Failure, Study

VOID = {"meta", "img", "br", "input"}
NAMES = ("psnr_rgb", "ssim_rgb_gauss11", "psnr_rgb_hole")


class Drawer(Entry):
    """Draws edges and completes nothing; its name would be markup."""

    name, sees_edges, paints, draws_edges = "<b>&edges", "ground-truth", False, True

    def identity(self, batch_size):
        return "drawn"

    def complete(self, items):
        for item in items:
            yield Filled(item.id, None, np.where(item.mask, np.uint8(255), np.uint8(0)))


class Reader(HTMLParser):
    """Collects elements and checks that each is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two classical methods and drawn edges on three scenes with holes of three bins."""
    preprocessing = Preprocessing(48, 127, "hole", 10**6, "per-bin", 0, (0.0, 0.1, 0.2, 0.4, 1.0))
    return Study(tmp_path_factory.mktemp("study"), compose("scenes:3", "strokes", preprocessing))


@pytest.fixture(scope="module")
def rows(study):
    contenders = [Classical("telea"), Classical("navier_stokes"), Drawer()]
    study.begin(contenders)
    assert not [failure for contender in contenders for failure in study.complete(contender)]
    measured = {c.name: study.measure(c, NAMES, {}, 2.0) for c in contenders[:2]}
    counts = {item.id: {"true_positives": i, "drawn": 9, "wanted": 9} for i, item in enumerate(study.manifest.items)}
    return measured | {Drawer.name: counts}


@pytest.fixture(scope="module")
def found(study, rows):
    return summed_up(study, rows)


@pytest.fixture(scope="module")
def text(study, rows, found):
    return render(study, found, rows, 3)


def summed_up(study, rows, failures=()):
    sees = {Drawer.name: Drawer.sees_edges}
    of_set = {"telea": {"fid": 12.345678}}
    methods = [Measured(name, sees.get(name, ""), table, of_set.get(name, {})) for name, table in rows.items()]
    return summarize(study.manifest, methods, failures)


def decoded(source):
    kind, data = source.split(",")
    assert kind == "data:image/webp;base64"
    return cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]


def test_the_page_stands_alone(text):
    page = Reader(text)
    images = [image for image in page.all("img") if "src" in image]
    assert len(images) == 3 * (2 + 2 * 2 + 1) + 2 * 6 * 4 + 6 * 3
    for image in images:
        assert image["alt"]
        assert decoded(image["src"]).shape == (int(image["height"]), int(image["width"]), 3)
    assert not page.all("link")
    assert not [script for script in page.all("script") if script]
    assert not re.search(r'(src|href)="(?!data:|#)|url\((?!#)|@import|fetch\(', text)


def test_links_lead_somewhere_and_headers_have_a_scope(text):
    page = Reader(text)
    ids = Counter(attributes["id"] for _, attributes in page.elements if "id" in attributes)
    assert max(ids.values()) == 1
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    assert {header["scope"] for header in page.all("th")} == {"row", "col"}
    assert {svg["role"] for svg in page.all("svg")} == {"img"}
    assert all(svg["aria-label"] for svg in page.all("svg"))


def test_it_says_what_the_results_say(text, found):
    for method in found.methods:
        for name, cell in method.bins["all"].items():
            if cell.n:
                digits = 2 if "psnr" in name else 4
                assert f"{cell.value:.{digits}f}" in text
    assert found.manifest in text
    assert "12.346" in text
    assert all(about.what in text.replace("&#39;", "'") for about in found.metrics.values())
    assert "<b>&edges" not in text
    assert "&lt;b&gt;&amp;edges (ground-truth edges)" in text


def test_the_same_study_gives_the_same_bytes(study, rows, found, text):
    assert render(study, found, rows, 3) == text


def test_items_side_by_side_are_spread_over_the_bins(study, rows, found):
    shown = Gallery(study, found, rows, 3).side_by_side()
    assert [item.bin for item in shown] == study.manifest.bins() == ["(0,10]", "(10,20]", "(20,40]"]
    assert len({item.id.split("__")[0] for item in shown}) == 3
    assert [[len(row) for row in column.rows] for column in shown[0].columns] == [[1, 1], [1, 1], [1, 1], [1, 0]]
    assert [item.id for item in Gallery(study, found, rows, 100).side_by_side()]


def test_the_worst_come_first_and_edges_are_ranked_by_f1(study, rows, found):
    telea, _, edges = Gallery(study, found, rows, 2).rankings()
    order = sorted(rows["telea"], key=lambda id_: rows["telea"][id_]["psnr_rgb_hole"])
    assert (telea.metric, edges.metric) == ("psnr_rgb_hole", "edge_f1")
    assert [item.id for item in telea.worst] == order[:2]
    assert [item.id for item in telea.best] == order[:-3:-1]
    ids = [item.id for item in study.manifest.items]
    assert [item.id for item in edges.best] == ids[:-3:-1]
    assert dict(edges.best[0].columns[1].values) == {"edge_f1": f"{16 / 18:.4f}"}


def test_items_that_failed_are_listed_and_not_shown(study, rows):
    gone = study.manifest.items[0].id
    failed = summed_up(study, rows, [Failure("telea", gone, "cannot be <read>")])
    page = render(study, failed, rows, 9)
    assert "cannot be &lt;read&gt;" in page
    assert page.count(gone) == 1
    everything = summed_up(study, rows, [Failure("telea", item.id, "gone") for item in study.manifest.items])
    assert "<img src" not in render(study, everything, rows, 3)


def test_many_methods_are_shown_with_fewer_items(study, found, rows):
    many = replace(found, methods=found.methods * 12)
    k = Gallery(study, many, rows, 6).k
    assert 0 < k < 6
    assert k * (2 + 3 * 36 + 2 * 5 * 36) <= MOST_PICTURES


def test_curves_need_two_bins_and_take_the_colours_of_the_page(found):
    drawn = curves(found)
    assert list(drawn) == ["psnr_rgb", "psnr_rgb_hole", "ssim_rgb_gauss11", "edge_f1", "canny_f1"]
    assert all("var(--series-" in svg and "currentColor" in svg and "#" in svg for svg in drawn.values())
    assert not any(re.search(r"#0[123]0", svg) for svg in drawn.values())
    one = {name: found.bins[name] for name in ("(0,10]", "all")}
    assert curves(replace(found, bins=one)) == {}


def test_small_pictures_are_kept_and_large_ones_made_smaller():
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (40, 100, 3), dtype=np.uint8)
    assert np.array_equal(decoded(frame("", "", small).source), small)
    gray = decoded(frame("", "", small[..., 0]).source)
    assert np.array_equal(gray, np.repeat(small[..., :1], 3, axis=2))
    large = frame("", "", np.zeros((300, 900, 3), np.uint8))
    assert (large.width, large.height, large.is_small) == (LONGEST, round(LONGEST / 3), False)
    assert decoded(large.source).shape == (large.height, large.width, 3)


def test_errors_are_bright_and_black_is_right():
    truth = np.full((2, 2, 3), 100, np.uint8)
    completed = truth.copy()
    completed[0, 0, 1] += 255 // GAIN
    completed[1, 1] -= 10
    shown = error_map(completed, truth).sum(axis=2, dtype=int)
    assert shown[0, 0] > shown[1, 1] > shown[0, 1] == shown[1, 0]
    assert shown[0, 1] < 10


def test_shares_of_edges_come_from_counts():
    row = {"true_positives": 3.0, "drawn": 4.0, "wanted": 8.0, "l1": 0.5}
    assert value_of("edge_f1", row) == pytest.approx(0.5)
    assert value_of("l1", row) == 0.5
    assert np.isnan(value_of("edge_f1", {"true_positives": 0.0, "drawn": 0.0, "wanted": 0.0}))
    assert np.isnan(value_of("psnr_rgb", row))
