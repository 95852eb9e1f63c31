"""scripts/plot.py: what is read of logs, what is drawn, what is refused."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from edgeconnect.cli import main
from edgeconnect.evaluation import curves
from edgeconnect.evaluation.curves import Curves, PlotOptions, columns, figure, read_log, smoothed
from edgeconnect.images import read_image


@pytest.fixture
def logged(tmp_path):
    """Return a function that writes a run's logs."""

    def write(name, stage="edge", rows=30, validation=3):
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        lines = [f"1,{i},{1 / i:.7g},{'' if i % 2 else i}\n" for i in range(1, rows + 1)]
        (folder / f"log_{stage}.csv").write_text("epoch,iteration,l_d1,precision\n" + "".join(lines))
        lines = [f"1,{10 * i},{i / 10}\n" for i in range(1, validation + 1)]
        if validation:
            (folder / f"log_{stage}_val.csv").write_text("epoch,iteration,precision\n" + "".join(lines))
        return folder

    return write


@pytest.fixture
def plot(capsys):
    """Return a function that runs the command and returns its exit code, the files written, what it complained of."""

    def call(*arguments):
        code = main([str(argument) for argument in arguments], command="plot")
        said = capsys.readouterr()
        return code, said.out.splitlines(), said.err

    return call


def test_a_log_that_is_being_written_is_read_up_to_its_last_whole_row(logged):
    path = logged("run", rows=3) / "log_edge.csv"
    text = path.read_text()
    for end in range(len(text.splitlines(keepends=True)[0]), len(text)):
        path.write_text(text[:end])
        log = read_log(path)
        whole = text[:end].count("\n") - 1
        assert log["iteration"].tolist() == [1, 2, 3][:whole]
        assert all(len(part) == whole for part in log.values())
    path.write_text(text + "1,4,zero,7\n1,5\n1,6,0.5,\n")
    log = read_log(path)
    assert log["iteration"].tolist() == [1, 2, 3, 6]
    assert np.isnan(log["precision"][[0, 2, 3]]).all()
    assert list(log) == ["iteration", "l_d1", "precision"]


def test_smoothing_is_unbiased_and_passes_over_gaps():
    assert smoothed(np.full(5, 7.0), 0.9) == pytest.approx(np.full(5, 7.0))
    values = np.array([1.0, np.nan, 3.0])
    assert smoothed(values, 0.5) == pytest.approx([1, np.nan, (0.5 * 3 + 0.25 * 1) / 0.75], nan_ok=True)
    assert smoothed(values, 0.0) == pytest.approx(values, nan_ok=True)


def test_folders_are_named_as_shortly_as_tells_them_apart(logged, tmp_path, monkeypatch):
    named = []
    monkeypatch.setattr(curves, "figure", lambda stage, runs, *_: named.append(list(runs)) or Figure())
    for names in (("a", "b"), ("x/a", "y/a")):
        curves.draw([logged(name) for name in names], "edge", PlotOptions(), tmp_path / "out.png")
    assert named == [["a", "b"], ["x/a", "y/a"]]


def test_every_run_has_its_curve_in_every_panel():
    rising = {"iteration": np.arange(1.0, 4), "psnr": np.arange(1.0, 4), "loss": np.array([1.0, 0.0, 2.0])}
    validation = {"iteration": np.array([2.0]), "psnr": np.array([5.0])}
    runs = {name: Curves(rising, validation) for name in ("one", "other")}
    drawn = figure("edge", runs, columns(runs.values(), ()), PlotOptions(log_scale=True))
    panels = {axes.get_title(loc="left"): axes for axes in drawn.axes}
    assert {name: len(axes.get_lines()) for name, axes in panels.items()} == {"psnr": 6, "loss": 4}
    assert (panels["psnr"].get_yscale(), panels["loss"].get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in drawn.legends[0].get_texts()] == ["one", "other", "validation"]


def test_each_stage_is_a_picture_in_the_first_folder(logged, plot):
    run = logged("run")
    logged("run", "joint", rows=1, validation=0)
    other = logged("other", "edge")
    code, files, said = plot(run, other)
    assert (code, said) == (0, "")
    assert files == [str(run / "curves_edge.png"), str(run / "curves_joint.png")]
    assert all(read_image(Path(file)).shape[1] > 400 for file in files)


def test_formats_and_columns(logged, plot, tmp_path):
    run = logged("run")
    for suffix, start in ((".svg", b"<?xml"), (".pdf", b"%PDF"), (".PNG", b"\x89PNG")):
        output = tmp_path / f"out{suffix}"
        assert plot(run, "--output", output, "--columns", "precision", "--smooth", 0)[:2] == (0, [str(output)])
        assert output.read_bytes().startswith(start)
    plot(run, "--output", tmp_path / "again.svg", "--columns", "precision", "--smooth", 0)
    assert (tmp_path / "again.svg").read_bytes() == (tmp_path / "out.svg").read_bytes()
    logged("run", "joint")
    assert plot(run, "--output", tmp_path / "all.png")[1] == [str(tmp_path / f"all_{s}.png") for s in ("edge", "joint")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: holds no training log; looked for log_edge.csv, log_inpaint.csv"),
        (["run", "--stage", "joint"], "log_joint.csv: does not exist"),
        (["run", "--stage", "5"], "--stage: 5 is none of: 1 edge"),
        (["run", "--columns", "psnr"], "--columns: psnr is in no log of edge; there are l_d1, precision"),
        (["run", "--smooth", "1"], "--smooth: 1 is no weight"),
        (["run", "--output", "curves.gif"], "--output: curves.gif ends in none of .png, .svg, .pdf"),
        (["empty"], "the logs of edge hold nothing yet"),
        (["other"], "log_edge.csv: is no training log"),
        (["diverged"], "the logs of edge hold no finite number in any column"),
        (["diverged", "--columns", "l_d1"], "the logs of edge hold no finite number in l_d1"),
        (["diverged", "--columns", "psnr"], "--columns: psnr is in no log of edge; there are l_d1"),
    ],
)
def test_mistakes_are_one_line(logged, plot, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    logged("run")
    logged("empty", rows=0, validation=0)
    (logged("other") / "log_edge.csv").write_text("a,b\n1,2\n")
    (logged("diverged", validation=0) / "log_edge.csv").write_text("epoch,iteration,l_d1\n1,1,nan\n1,2,inf\n")
    code, files, complaint = plot(*arguments)
    assert (code, files) == (2, [])
    assert said in complaint
    assert complaint.count("\n") == 1
