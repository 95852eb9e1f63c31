"""Every command of README.md and docs/, run in a small form in the order of its page, with the files that it promises.

Commands are the lines of fenced blocks without a language, and `python benchmarks/...` inside the text. A block of yaml
is what the page tells its reader to write into config.yml.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import pytest
from inceptions import random_state, saved
from PIL import Image

from edgeconnect.cli import main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(["README.md", "CONTRIBUTING.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))])
SMALL = {"BASE_CHANNELS": 4, "RESIDUAL_BLOCKS": 1, "INPUT_SIZE": 32, "BATCH_SIZE": 2, "MAX_ITERS": 2, "LOG_INTERVAL": 1}
SMALL |= {"SAMPLE_INTERVAL": 2, "SAMPLE_SIZE": 2, "EVAL_INTERVAL": 2, "CONTENT_LOSS_WEIGHT": 0, "STYLE_LOSS_WEIGHT": 0}
RUN = "checkpoints/photos"
OWN_SERVER = ("benchmarks/crash.py",)  # forks its processes itself: is started as usual
EDGES = ("EdgeModel_gen.pth", "EdgeModel_dis.pth")
COLOURS = ("InpaintingModel_gen.pth", "InpaintingModel_dis.pth")
REPORT = ("report.html", "results.json", "results.csv", "tables.md", "tables.tex", "manifest.json")
REPORT += ("pictures/**/*.png", "measures/*")


class Run(NamedTuple):
    """What a page promises of a command."""

    command: str
    files: tuple[str, ...] = ()  # patterns: each must match a file that the command wrote
    small: str = ""  # options that make it quick
    prints: str = ""
    instead: str = ""  # what is run in its place


class NotRun(NamedTuple):
    """A command that cannot be run here, and why."""

    command: str
    reason: str


def trained(stage, files):
    own = (f"saves/{stage}/0000002/state.pth", f"log_{stage}.csv", f"log_{stage}_val.csv", f"resolved_{stage}.yml")
    own += (f"samples/{stage}/0000002.png", f"tensorboard/{stage}/*", f"saves/{stage}/best/save.json")
    return tuple(f"{RUN}/{name}" for name in (*files, *own))


TINY_DEMO = "--set BASE_CHANNELS=4 --set RESIDUAL_BLOCKS=1 --set MAX_ITERS=1 --set VAL_FLIST=scenes:5-7"
TORCHRUN = Path(sys.executable).parent / "torchrun"
INSTALLS = "installs from the network; the tests run where it has been done"
MARKED = ("results/scene_000000.png", "results/scene_000000.json")
TEST = "python test.py --checkpoints checkpoints/"
EVALUATE = Run(
    "python scripts/evaluate.py --checkpoints checkpoints/photos --pictures photos_test.flist --masks masks/",
    tuple(f"{RUN}/evaluation/{name}" for name in REPORT),
    small="--methods telea",
    prints="psnr_rgb",
)
PROMISES = {
    "README.md": [
        NotRun("make setup && source .venv/bin/activate", INSTALLS),
        Run(
            f"{TEST}scenes --input examples/images --mask examples/masks --output results/",
            ("results/scene_005000.png", "results/scene_005005.png"),
        ),
        Run(
            "make demo",
            tuple(f"checkpoints/demo/{name}" for name in ("summary.json", "sheet.png")),
            instead=f"python main.py demo {TINY_DEMO} --set TRAIN_FLIST=scenes:4",
        ),
        NotRun("make test", "runs this very test"),
        Run(
            "python scripts/flist.py --path ~/photos --output photos.flist --split 0.9 0.05 0.05",
            tuple(f"photos_{split}.flist" for split in ("train", "val", "test")),
        ),
        Run("python scripts/flist.py --path ~/masks --output masks.flist", ("masks.flist",)),
        Run(f"python train.py --model 1 --checkpoints {RUN}", (f"{RUN}/config.yml",)),
        Run(f"python scripts/check_data.py --checkpoints {RUN}", prints="TRAIN"),
        Run(f"python train.py --model 1 --checkpoints {RUN}", trained("edge", EDGES)),
        Run(f"python train.py --model 2 --checkpoints {RUN}", trained("inpaint", COLOURS)),
        Run(f"python train.py --model 3 --checkpoints {RUN}", trained("edge_inpaint", COLOURS)),
        Run(f"python train.py --model 4 --checkpoints {RUN}", trained("joint", (*EDGES, *COLOURS))),
        Run(f"{TEST}photos --input pictures/ --mask masks/ --output results/", ("results/scene_000002.png",)),
        Run(f"{TEST}photos --input a.jpg --mask hole.png --output a_completed.png", ("a_completed.png",)),
        Run(
            f"{TEST}photos --input wide.jpg --mask square.png --resize-mask --output wide_completed.png",
            ("wide_completed.png",),
        ),
        Run(f"{TEST}photos --input marked/ --marker 0,255,0 --output results/", MARKED),
        EVALUATE,
        Run(
            "python train.py --preset glcic_small --checkpoints checkpoints/small",
            ("checkpoints/small/GLCIC_gen.pth", "checkpoints/small/config.yml"),
            small="--set MAX_ITERS=1 --set BASE_CHANNELS=4 --set TRAIN_FLIST=scenes:4 --set VAL_FLIST=scenes:5-7",
        ),
    ],
    "CONTRIBUTING.md": [
        NotRun("make setup", INSTALLS),
        NotRun("make test", "runs this very test"),
        NotRun("make check", INSTALLS),
        Run("make example", ("config.yml.example",), small=f"BIN={Path(sys.executable).parent} -o setup"),
    ],
    "docs/data.md": [
        Run("python benchmarks/loader.py", small="--count 8 --size 64 --repeat 1 --seconds 0.1", prints="ratios"),
        Run(f"python scripts/check_data.py --checkpoints {RUN}", prints="TRAIN"),
        Run("python benchmarks/check_data.py", small="--count 20 --size 64", prints="minutes_for_100000"),
    ],
    "docs/evaluation.md": [
        EVALUATE,
        Run(
            "python train.py --model 2 --checkpoints checkpoints/without --set SIGMA=-1",
            ("checkpoints/without/InpaintingModel_gen.pth",),
        ),
        *(
            Run(
                f"python scripts/evaluate.py --checkpoints checkpoints/{run} --model {model} --edges {edges} "
                f"--methods none --sigma 2 {items} --output edges/{edges}",
                (f"edges/{edges}/results.json",),
                prints="canny_f1",
            )
            for run, model, edges, items in (
                ("without", 2, "none", "--pictures photos_test.flist --masks masks/"),
                ("photos", 3, "strict", "--manifest edges/none/manifest.json"),
                ("photos", 2, "ground-truth", "--manifest edges/none/manifest.json"),
            )
        ),
        Run(
            "python scripts/compare.py edges/none edges/strict edges/ground-truth --measures psnr_rgb canny_f1_1px",
            prints="compared with none/without:inpaint (no edges)",
        ),
        Run("python scripts/compare.py evaluations/a evaluations/b --measures psnr_rgb l1_hole", prints="telea"),
        Run("python scripts/metrics.py --data-path truth/ --output-path results/ --mask masks/", prints="psnr_gray"),
        Run(
            "python scripts/fid_score.py --path truth/ results/ --kid",
            small="--weights inception.pth --dims 64 --kid-size 2",
            prints="fid",
        ),
        Run(
            "python scripts/make_masks.py --output masks_by_ratio/ --kinds irregular --count 2000",
            (*(f"masks_by_ratio/{low}-{low + 10}/*.png" for low in (10, 20, 30, 40, 50)), "masks_by_ratio/masks.csv"),
            small="--count 2 --size 64",
        ),
        Run(f"python scripts/plot.py {RUN} checkpoints/other", (f"{RUN}/curves_edge.png",)),
    ],
    "docs/runs.md": [
        Run(
            f"python main.py export --checkpoints {RUN} --output shared/",
            tuple(f"shared/{name}" for name in ("EdgeModel_gen.pth", "InpaintingModel_gen.pth", "provenance.json")),
        ),
        Run("python benchmarks/save.py", small="--repeat 1", prints="ratio_of_medians"),
        Run(
            "python benchmarks/crash.py --kills 100 --truncate 20",
            small="--kills 2 --truncate 1 --model edge --workers 0",
            prints="failures  []",
        ),
    ],
    "docs/distributed.md": [
        Run(f"python train.py --model 1 --checkpoints {RUN}", (f"{RUN}/saves/edge/0000002/state.pth",)),
        Run(
            f"torchrun --standalone --nproc_per_node 4 train.py --model 1 --checkpoints {RUN}",
            (f"{RUN}/saves/edge/0000004/state.pth",),
            instead=f"{TORCHRUN} --standalone --nproc_per_node 2 train.py --checkpoints {RUN}",
            small="--model 1 --set MAX_ITERS=4",
            prints="2 ranks",
        ),
        NotRun(
            "torchrun --nnodes 2 --nproc_per_node 8 --rdzv_backend c10d --rdzv_endpoint first:29500 --rdzv_id 1 "
            f"train.py --model 1 --checkpoints {RUN}",
            "needs two machines",
        ),
    ],
    "docs/performance.md": [
        NotRun("python benchmarks/train_step.py --demo --stages edge --set COMPILE=1", "compiling takes minutes"),
        Run("python benchmarks/loader.py", small="--count 8 --size 64 --repeat 1 --seconds 0.1", prints="ratios"),
    ],
    "docs/results.md": [
        Run(
            "python benchmarks/train_step.py --json",
            small="--stages edge --modes plain default --repeat 1 --steps 1 --warmup 0 --batch 1 "
            "--set INPUT_SIZE=32 --set BASE_CHANNELS=4",
            prints="times_plain",
        ),
        NotRun("python benchmarks/train_step.py --demo --json", "the same program"),
        NotRun("python benchmarks/train_step.py --losses 200 --demo --json", "takes minutes"),
        NotRun("python benchmarks/contention.py --json", "keeps a core busy for minutes"),
        NotRun("python benchmarks/complete.py --pictures photographs/ --masks masks/ --json", "takes minutes"),
        NotRun("python benchmarks/loader.py --workers 0 --json", "stands on docs/performance.md"),
        NotRun("python benchmarks/complete.py --megapixels 4 --modes default bf16 --repeat 1 --json", "takes minutes"),
        Run(
            "python benchmarks/flist.py --json", small="--lines 200000 --files 200 --repeat 1", prints="ratios_to_find"
        ),
        NotRun(
            "python benchmarks/learning.py benchmarks/studies/scenes.yml --output checkpoints/study --json",
            "takes an hour",
        ),
    ],
    "docs/numerics.md": [],
    "docs/methods.md": [],
    "docs/marking.md": [
        Run(f"{TEST}photos --input marked/ --marker 0,255,0 --output results/", MARKED),
        Run(f"{TEST}photos --input marked/ --original pictures/ --marker 0,255,0 --output results/", MARKED),
    ],
}


def steps(page):
    """Yield ("yaml", text) and ("command", line) in the order of a page."""
    text = (ROOT / page).read_text()
    for language, block, inline in re.findall(r"^```(\w*)\n(.*?)^```$|`(python benchmarks/[^`]*)`", text, re.M | re.S):
        if language == "yaml":
            yield "yaml", block
        elif inline:
            yield "command", inline
        elif not language:
            for line in re.sub(r"\s*\\\n\s*", " ", block).splitlines():
                if command := re.sub(r"\s+#.*", "", line).strip():
                    yield "command", command


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_a_page_is_listed_here(page):
    assert [step for kind, step in steps(page) if kind == "command"] == [run.command for run in PROMISES[page]]


def small_config(folder, lists=""):
    """Write config.yml as a reader of the README does, and make the networks small."""
    given = dict(line.split(": ", 1) for line in lists.splitlines())
    (folder / RUN).mkdir(parents=True, exist_ok=True)
    entries = given | {key: str(value) for key, value in SMALL.items()}
    (folder / RUN / "config.yml").write_text("".join(f"{key}: {value}\n" for key, value in entries.items()))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Lay out a checkout, with data as the pages name them, and return its folder."""
    folder, home = tmp_path / "checkout", tmp_path / "home"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name in ("src", "scripts", "benchmarks", "examples", "docs") or path.suffix == ".py":
            (folder / path.name).symlink_to(path)
    for name in ("Makefile", "config.yml.example"):
        shutil.copy(ROOT / name, folder)
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints/scenes").symlink_to(ROOT / "checkpoints/scenes")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(home))
    scenes = ["scenes", "--output", str(home), "--count", "20", "--size", "40", "--masks", "0.2-0.3"]
    assert main(scenes) == 0
    (home / "images").rename(home / "photos")
    for source, target, count in (("photos", "pictures", 3), ("masks", "masks", 3), ("photos", "truth", 3)):
        (folder / target).mkdir()
        for path in sorted((home / source).iterdir())[:count]:
            shutil.copy(path, folder / target)
    (folder / "marked").mkdir()
    with Image.open(home / "photos/scene_000000.png") as picture:
        picture.paste((0, 255, 0), (10, 10, 25, 20))
        picture.save(folder / "marked/scene_000000.png")
    shutil.copy(home / "photos/scene_000000.png", folder / "a.jpg")
    for mask in ("hole.png", "square.png"):
        shutil.copy(home / "masks/scene_000000.png", folder / mask)
    with Image.open(home / "photos/scene_000000.png") as picture:
        picture.crop((0, 0, 40, 32)).save(folder / "wide.jpg")
    return folder


class Shell:
    """Runs commands one after the other, each in a process of its own."""

    def __init__(self):
        self.environment = os.environ | {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
        self.environment.pop("PYTHONPATH", None)
        command = [sys.executable, ROOT / "tests/launcher.py"]
        pipe = subprocess.PIPE
        self.python = subprocess.Popen(command, env=self.environment, stdin=pipe, stdout=pipe, text=True)

    def run(self, command, folder, home):
        """Return the exit code and everything that was printed."""
        program, *argv = (word.replace("~", str(home)) for word in shlex.split(command))
        if program != "python" or argv[0] in OWN_SERVER:
            words = [sys.executable if program == "python" else program, *argv]
            environment = self.environment | ({"PYTHONPATH": str(ROOT / "src")} if program == "make" else {})
            done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
            return done.returncode, done.stdout + done.stderr
        output = folder.parent / "output.txt"
        wanted = {"argv": argv, "folder": str(folder), "home": str(home), "output": str(output)}
        self.python.stdin.write(json.dumps(wanted) + "\n")
        self.python.stdin.flush()
        return int(self.python.stdout.readline()), output.read_text()


@pytest.fixture(scope="module")
def shell():
    shell = Shell()
    yield shell
    shell.python.communicate()


def written_since(folder, start, pattern):
    return [path for path in folder.glob(pattern) if path.stat().st_mtime_ns >= start]


def prepare(page, folder):
    """Do what the pages before this one have done."""
    lists = f"TRAIN_FLIST: {Path.home()}/photos\nTRAIN_MASK_FLIST: {Path.home()}/masks\n"
    if page in ("docs/data.md", "docs/distributed.md"):
        small_config(folder, lists)
    if page in ("docs/runs.md", "docs/marking.md"):
        small_config(folder, lists)
        assert main(["train", "--model", "all", "--checkpoints", RUN, "--no-check"]) == 0
    if page == "docs/evaluation.md":
        small_config(folder, lists + "SIGMA: 1\nNUM_WORKERS: 0\n")
        assert main(["train", "--model", "all", "--checkpoints", RUN, "--no-check"]) == 0
        shutil.copytree(RUN, "checkpoints/other")
        (folder / "checkpoints/without").mkdir()
        shutil.copy(f"{RUN}/config.yml", "checkpoints/without")
        (folder / "photos_test.flist").write_text("".join(f"{path}\n" for path in (folder / "truth").glob("*")))
        shutil.copytree("pictures", "results")
        saved(folder / "inception.pth", random_state())
        for name in "ab":
            made = ["--pictures", "pictures", "--masks", "masks", "--methods", "telea", "navier_stokes"]
            assert main(["evaluate", *made, "--size", "32", "--output", f"evaluations/{name}"]) == 0


@pytest.mark.parametrize("page", [page for page in PAGES if PROMISES[page]])
def test_commands_of_a_page_do_what_it_says(page, place, shell):
    prepare(page, place)
    promises = iter(PROMISES[page])
    for kind, step in steps(page):
        if kind == "yaml":
            small_config(place, step)
            continue
        promise = next(promises)
        if isinstance(promise, NotRun):
            continue
        start = time.time_ns()
        code, said = shell.run(f"{promise.instead or step} {promise.small}", place, place.parent / "home")
        assert code == 0, f"{step}\n{said}"
        assert promise.prints in said, f"{step}\n{said}"
        assert "Traceback" not in said, f"{step}\n{said}"
        for pattern in promise.files:
            assert written_since(place, start - 20_000_000, pattern), f"{step}: no {pattern}\n{said}"


def test_links_of_a_page_lead_somewhere():
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            target = (ROOT / page).parent / link
            assert target.exists(), f"{page}: {link}"


def test_tests_and_sources_that_pages_name_are_there():
    for page in PAGES:
        text = (ROOT / page).read_text()
        for name in re.findall(r"`(?:tests/)?((?:\w+/)*test_\w+\.py)`", text):
            assert (ROOT / "tests" / name).is_file(), f"{page}: {name}"
        for name in re.findall(r"`((?:scripts|benchmarks|examples|configs)/\w+\.\w+)`", text):
            assert (ROOT / name).is_file(), f"{page}: {name}"
