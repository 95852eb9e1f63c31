"""export: write what completes pictures as published files."""

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from edgeconnect.commands.runs import add_run_options, load_trained, shown
from edgeconnect.config.sections import IMAGENET, RANDOM, Config, RunConfig
from edgeconnect.errors import UserError

log = logging.getLogger(__name__)


def add_export_options(sub: argparse.ArgumentParser) -> None:
    """Add the options of `export`."""
    add_run_options(sub)
    sub.add_argument("--output", required=True, type=Path, help="new folder, or an empty one")
    sub.add_argument("--no-ema", action="store_true", help="the last weights, not their moving average")
    sub.set_defaults(action=export)


def export(arguments: argparse.Namespace) -> None:
    """Write a stage's weights, as test.py uses them, its configuration on any machine, and where they come from."""
    a = arguments
    config = load_trained(a)
    if shown(a, config):
        return
    if a.output.exists() and (not a.output.is_dir() or any(a.output.iterdir())):
        raise UserError(f"--output: {a.output} is there already; name a new folder or an empty one")
    from edgeconnect.atomic import whole_folder
    from edgeconnect.checkpoint.stage import write_files
    from edgeconnect.checkpoint.weights import published
    from edgeconnect.config.file import dump
    from edgeconnect.provenance import provenance
    from edgeconnect.trained import load_run

    run = load_run(config, a.checkpoints, use_ema=not a.no_ema, folded=False)
    rows = {name: run.stage.networks[name] for name in run.stage.completing}
    steps = {weights.file: weights.iteration for weights in run.weights}
    files = {row.file: published(row, run.method.networks[name], steps[row.file]) for name, row in rows.items()}
    with whole_folder(a.output) as folder:
        write_files(folder, files)
        (folder / "config.yml").write_text(dump(anywhere(config)), encoding="utf-8")
        said = json.dumps(provenance() | run.provenance(), indent=1)
        (folder / "provenance.json").write_text(said + "\n", encoding="utf-8")
    log.info("%s written to %s; use it with --model %s", ", ".join(files), a.output, run.stage.name)


def anywhere(config: Config) -> Config:
    """Return a configuration without what suits one machine: threads, GPUs, files and folders."""
    from edgeconnect.config.file import build, is_text
    from edgeconnect.data.sources import SCENES

    run, values = config.run, config.flat()
    kept = RunConfig(method=run.method, model=run.model, seed=run.seed, raw_edges=run.raw_edges)

    def is_local(name: str, value: Any) -> bool:
        return is_text(name) and value not in (IMAGENET, RANDOM) and not SCENES.fullmatch(value)

    return replace(build({name: value for name, value in values.items() if not is_local(name, value)}), run=kept)
