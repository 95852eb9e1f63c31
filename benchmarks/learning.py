"""Compare recipes: variants of a configuration, trained for equal time from equal seeds, measured on equal items.

    python benchmarks/learning.py benchmarks/studies/scenes.yml --output checkpoints/study --json

The study is a YAML file:

    minutes: 10                    # of training for each variant and seed, all stages together
    seeds: [10, 11]                # two at least
    points: 4                      # evaluations of each stage, at equal shares of its iterations
    model: all                     # the stages of `shares`; or one stage, which gets all minutes
    shares: {edge: 0.3, edge_inpaint: 0.7}  # stages in the order of their training, minutes in this proportion
    pictures: scenes:3000-3064     # as --pictures and --masks of scripts/evaluate.py
    masks: strokes
    bin: (20,30]                   # of hole ratios, in percent, that is completed and measured; all, if left out
    metrics: [edge_f1, psnr_rgb]   # columns of the table, panels of the plot
    preset: demo                   # or a file: what all variants begin with
    keys: {INPUT_SIZE: 64}         # overrides for all variants; may be left out
    evaluate: [--lpips, alex]      # more options of scripts/evaluate.py; may be left out
    variants:                      # overrides of each
      published: {}
      faster: {LR: 2e-4}

First a short training of each variant measures its seconds per iteration (let nothing else run), then each stage gets
as many iterations as its minutes hold: PHASES keep their rates and the proportion of their ends, MAX_ITERS does not
count. Minutes in the results led from the start of each stage to its saves, without work that a kill undid.

The same command continues an interrupted study; variants, seeds and metrics may be added. A variant whose keys have
changed, or minutes, points or shares, is refused: give it another name, or the study another folder. A variant that
fails is named with the last line of its log, the others go on, and the exit code is 1.
"""

import argparse
import datetime
import itertools
import json
import multiprocessing
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml
from circumstances import ROOT, circumstances
from learning_report import draw, table

from edgeconnect import cli
from edgeconnect.atomic import write_whole
from edgeconnect.checkpoint.folder import HISTORY
from edgeconnect.checkpoint.saves import SAVES, read_save
from edgeconnect.config import file as config_file
from edgeconnect.config.file import scalar
from edgeconnect.config.presets import preset
from edgeconnect.config.sections import CONFIG_FILE, Config
from edgeconnect.errors import UserError, reason
from edgeconnect.evaluation.manifest import file_name, read_manifest
from edgeconnect.evaluation.results import RESULTS
from edgeconnect.evaluation.study import MANIFEST
from edgeconnect.methods.catalogue import ALL
from edgeconnect.metrics.definitions import DEFINITIONS
from edgeconnect.plain import plain

MEASURED = 0.03  # share of a stage's minutes over which its speed is measured, after twice as long to warm up
LEAST = 5.0  # seconds, where that share is less, but a third of short stages
FEW = 2  # iterations for a first guess of the speed
PROCESSES = multiprocessing.get_context("forkserver")  # each command has its own process, without seconds of imports


@dataclass(frozen=True)
class Study:
    """What a study file says."""

    minutes: float
    seeds: list[int]
    points: int
    pictures: str
    masks: str
    metrics: list[str]
    preset: str
    variants: dict[str, dict[str, Any]]
    model: str = ALL
    shares: dict[str, float] = field(default_factory=dict)
    keys: dict[str, Any] = field(default_factory=dict)
    evaluate: list[str] = field(default_factory=list)
    bin: str = ALL

    def __post_init__(self) -> None:
        """Raise ValueError for a value that no study can have."""
        unknown = [name for name in self.metrics if name not in DEFINITIONS]
        unfit = [name for name in self.variants if not name or file_name(str(name)) != name]
        unfit += [name for name, keys in self.variants.items() if not isinstance(keys, dict)]
        for wrong, problem in (
            (self.minutes <= 0 or self.points < 1, "minutes and points are above 0"),
            (len(set(self.seeds)) < 2, "seeds: give two or more different ones, which show what chance does"),
            (unknown or not self.metrics, f"metrics: {unknown} are none of: {', '.join(DEFINITIONS)}"),
            (
                unfit or not self.variants,
                f"variants: {unfit}; name one or more as files can be called, each with {{KEY: value}}",
            ),
            ((self.model == ALL) != bool(self.shares), "give the shares of several stages, or one stage as model"),
            (any(share <= 0 for share in self.shares.values()), "shares are above 0"),
        ):
            if wrong:
                raise ValueError(problem)

    def seconds(self) -> dict[str, float]:
        """Return what each stage may train."""
        shares = self.shares or {self.model: 1.0}
        return {stage: 60 * self.minutes * share / sum(shares.values()) for stage, share in shares.items()}

    def configuration(self, keys: Mapping[str, Any]) -> Config:
        """Return what a variant trains by. Raises UserError for keys that are not known."""
        given = [("the study", f"{key}={scalar(value)}") for key, value in (self.keys | dict(keys)).items()]
        return config_file.load(preset(self.preset), given).config


def read_study(path: Path) -> Study:
    """Read a study file. Raises UserError naming what is wrong with it."""
    try:
        return Study(**yaml.safe_load(path.read_text("utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: {reason(error)}; see --help for the format") from error


def run_command(arguments: list[str], log: Path) -> None:
    """Be `python main.py ARGUMENTS`, with the messages in a file; stop as by SIGTERM when the study dies."""
    os.setpgrp()  # a terminal's Ctrl-C reaches the study alone, which stops this process
    with log.open("a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    multiprocessing.set_start_method("fork", force=True)  # for those that read data, as in a process of its own
    sys.argv = [str(ROOT / "main.py"), *arguments]
    sys.orig_argv = [sys.executable, *sys.argv]  # what further ranks are started by
    threading.Thread(target=stop_with_parent, daemon=True).start()
    sys.exit(cli.main(arguments))


def stop_with_parent() -> None:
    """Wait until the process that started this one has ended, then stop."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def command(arguments: Sequence[object], log: Path) -> None:
    """Run one of the product's commands to its end. Raises UserError with the log's last line where it fails."""
    log.parent.mkdir(parents=True, exist_ok=True)
    process = PROCESSES.Process(target=run_command, args=([str(word) for word in arguments], log))
    process.start()
    try:
        process.join()
    except BaseException:
        process.terminate()  # it saves
        process.join()
        raise
    if process.exitcode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
        raise UserError(f"{lines[-1] if lines else 'said nothing'} (exit code {process.exitcode}, {log})")


def settings(keys: Mapping[str, Any]) -> list[str]:
    """Write keys as options."""
    return [word for key, value in keys.items() for word in ("--set", f"{key}={scalar(value)}")]


def scaled_phases(phases: Sequence[Mapping[str, Any]], end: int) -> list[dict[str, Any]]:
    """Let the phases of a stage end at an iteration, in proportion; those that get none are left out."""
    parts = {max(1, round(part["end"] * end / phases[-1]["end"])): part for part in phases} or {end: {}}
    return [{**part, "end": last} for last, part in parts.items()]


def train(run: Path, config: Config, stage: str, end: int, interval: int) -> None:
    """Train a stage to an iteration from where it stands."""
    phases = {stage: scaled_phases(config.optim.phases.get(stage, []), end)}
    keys = {"PHASES": phases, "MAX_ITERS": end, "SAVE_INTERVAL": interval, "KEEP_CHECKPOINTS": 0}
    write_whole(run / CONFIG_FILE, config_file.dump(config).encode())
    begin = [] if (run / SAVES / stage).is_dir() else ["--resume", "never"]  # shares may leave out the stage before
    command(["train", "--checkpoints", run, "--model", stage, *begin, *settings(keys)], run.with_suffix(".log"))


def save_of(run: Path, stage: str, step: int) -> Path:
    """Name the folder of a save."""
    return run / SAVES / stage / f"{step:07d}"


def measure_pace(run: Path, config: Config, stage: str, wanted: float) -> float:
    """Return a stage's seconds per iteration, over some `wanted` seconds of a training that has warmed up."""
    third, pace = FEW, 0.0
    for _ in range(2):
        train(run, config, stage, 3 * third, third)
        before, after = (read_save(save_of(run, stage, n * third)).written for n in (2, 3))
        pace = (after - before) / 1e9 / third
        third = max(3 * third, round(wanted / pace))
    return pace


def iterations(study: Study, config: Config, folder: Path) -> dict[str, int]:
    """Return how many iterations each stage of a variant gets; its speed is measured once.

    Raises UserError where the variant is another one than when it was measured.
    """
    file, run, seconds = folder / "pace.json", folder / "pace", study.seconds()
    asked = plain({"points": study.points, "seconds": seconds} | config.flat())
    known = json.loads(file.read_text()) if file.is_file() else {}
    changed = [key for key, value in known.get("asked", {}).items() if asked.get(key, value) != value]
    if changed:
        problem = f"{', '.join(changed)} changed since {folder} was trained"
        raise UserError(f"{problem}; give the variant another name, or the study another --output")
    if not known:
        shutil.rmtree(run, ignore_errors=True)  # speed is not measured across an interruption
        wanted = {stage: max(min(LEAST, whole / 3), MEASURED * whole) for stage, whole in seconds.items()}
        pace = {stage: measure_pace(run, config, stage, some) for stage, some in wanted.items()}
        shutil.rmtree(run)
        known = {"asked": asked, "pace": pace}
        write_whole(file, json.dumps(known, indent=1).encode())
    parts = {stage: seconds[stage] / pace / study.points for stage, pace in known["pace"].items()}
    return {stage: study.points * max(1, round(part)) for stage, part in parts.items()}


def seconds_until(run: Path, stage: str, step: int) -> float:
    """Return how long a stage trained for a save: from its start, or from the save that an interruption left."""
    written = read_save(save_of(run, stage, step)).written / 1e9
    starts = [line for line in map(json.loads, (run / HISTORY).read_text().splitlines()) if line["stage"] == stage]
    times = [(datetime.datetime.fromisoformat(line["time"]).timestamp(), line["iteration"]) for line in starts]
    begun, first = max(start for start in times if start[1] < step and start[0] <= written)
    return written - begun + (seconds_until(run, stage, first) if first else 0.0)


def evaluate(folder: Path, arguments: Sequence[object], bin_: str) -> dict[str, dict[str, Any]]:
    """Evaluate what is not evaluated yet; return the means over a bin's items by label."""
    command(["evaluate", "--output", folder, *arguments], folder.with_suffix(".log"))
    methods = json.loads((folder / RESULTS).read_text())["methods"]
    if bin_ not in (bins := methods[0]["bins"]):
        raise UserError(f"bin: {bin_} holds no items; there are {', '.join(bins)}")
    means = [{metric: cell["value"] for metric, cell in method["bins"][bin_].items()} for method in methods]
    return {method["name"].partition(":")[0]: mean for method, mean in zip(methods, means, strict=True)}


def trial(study: Study, name: str, seed: int, folder: Path) -> dict[str, Any]:
    """Train a variant from a seed and evaluate its saves. Returns a row for each save, and the minutes of all."""
    keys, place = study.variants[name], folder / "variants" / name
    run, ends = place / f"{seed}", iterations(study, study.configuration(keys), place)
    for stage, end in ends.items():
        train(run, study.configuration(keys | {"SEED": seed}), stage, end, end // study.points)
    steps = [(stage, end * n // study.points) for stage, end in ends.items() for n in range(1, study.points + 1)]
    saves = [f"{stage}-{step}={save_of(run, stage, step)}" for stage, step in steps]
    sigma = json.loads((folder / "classical" / RESULTS).read_text())["sigma"]  # whatever a variant learns
    items = ["--manifest", folder / MANIFEST, "--methods", "none", "--sigma", sigma, *study.evaluate]
    found, rows, before = evaluate(place / f"{seed}-evaluation", [*items, "--runs", *saves], study.bin), [], 0.0
    for stage, step in steps:
        spent = before + seconds_until(run, stage, step)
        before = spent if step == ends[stage] else before
        metrics = {metric: found[f"{stage}-{step}"].get(metric) for metric in study.metrics}
        rows.append({"stage": stage, "iteration": step, "minutes": spent / 60, **metrics})
    return {"iterations": ends, "minutes": before / 60, "points": rows}


def perform(study: Study, folder: Path) -> dict[str, Any]:
    """Do everything that is left: all variants from one seed, then from the next."""
    items = ["--pictures", study.pictures, "--masks", study.masks, *settings(study.configuration({}).flat())]
    classical = evaluate(folder / "classical", [*items, *study.evaluate], study.bin)
    whole = read_manifest(folder / "classical" / MANIFEST)
    measured = tuple(item for item in whole.items if study.bin in (ALL, whole.bin(item)))
    replace(whole, items=measured).write(folder / MANIFEST)
    trials: dict[str, dict[int, Any]] = {name: {} for name in study.variants}
    failures: dict[str, str] = {}
    for seed, name in itertools.product(study.seeds, study.variants):
        if name not in failures:
            try:
                done = trials[name][seed] = trial(study, name, seed, folder)
                said = f"{done['iterations']} in {done['minutes']:.2f} minutes"
            except UserError as error:
                said = failures[name] = str(error)
            print(f"{name}, seed {seed}: {said}", file=sys.stderr, flush=True)
    complete = {name: found for name, found in trials.items() if name not in failures}
    methods = {name: {metric: means.get(metric) for metric in study.metrics} for name, means in classical.items()}
    return {"study": asdict(study), "variants": complete, "classical": methods, "failures": failures}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the study."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path, help="the study file")
    parser.add_argument("--output", type=Path, required=True, help="folder of the trainings and results")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    PROCESSES.set_forkserver_preload(["torch._dynamo", "edgeconnect.run", "edgeconnect.evaluation.evaluate"])
    try:
        result = perform(read_study(options.study), options.output)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; the same command continues", file=sys.stderr)
        return cli.INTERRUPTED
    result |= {"command": shlex.join(sys.argv)} | circumstances()
    write_whole(options.output / "study.json", (json.dumps(result, indent=1) + "\n").encode())
    write_whole(options.output / "table.md", table(result).encode())
    draw(result, options.output / "study.png")
    print(json.dumps(result) if options.json else table(result))
    return int(bool(result["failures"]))


if __name__ == "__main__":
    sys.exit(main())
