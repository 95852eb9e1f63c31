"""The best evaluation so far."""

import math
from collections.abc import Mapping
from typing import Any

from edgeconnect.config.sections import Config

DECIDES = (  # an evaluation of other pictures, or scored otherwise, is not compared with those before
    *("BEST_METRIC", "VAL_FLIST", "VAL_MASK_FLIST", "VAL_EDGE_FLIST", "MASK", "MASK_RATIO", "MASK_THRESHOLD"),
    *("MASK_POLARITY", "INPUT_SIZE", "EDGE", "NMS", "SIGMA", "KNOWN_EDGES", "RAW_EDGES", "SEED", "EDGE_THRESHOLD"),
)


class Best:
    """The highest score of the evaluations, and the step that it was reached at."""

    def __init__(self, config: Config) -> None:
        self.metric, self.names, self.config = config.log.best_metric, config.stage.metrics, config.flat()
        self.value, self.step = -math.inf, 0

    def state_dict(self) -> dict[str, Any]:
        """Return the score with what decides it."""
        return {"best": (self.value, self.step), "config": {key: self.config[key] for key in DECIDES}}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint, or begin anew where it was scored otherwise."""
        before = Config().flat() | state["config"]  # keys that a save lacks were at their defaults
        if all(before[key] == self.config[key] for key in DECIDES):
            self.value, self.step = state["best"]

    def update(self, step: int, measured: Mapping[str, float]) -> bool:
        """Take an evaluation in and return whether it is the best so far."""
        value = score(measured, self.metric, self.names)
        if value is None or not math.isfinite(value) or value <= self.value:
            return False
        self.value, self.step = value, step
        return True


def score(measured: Mapping[str, float], metric: str, names: Mapping[str, str]) -> float | None:
    """Return what BEST_METRIC names, higher for better; None where the stage does not measure it.

    `names` gives the metric that each column of `measured` holds. `auto` is psnr or, without it, f1: the harmonic mean
    of precision and recall.
    """
    found = {names[column]: value for column, value in measured.items() if column in names}
    if "precision" in found and "recall" in found:
        both = found["precision"] + found["recall"]
        found["f1"] = 2 * found["precision"] * found["recall"] / both if both else 0.0
    if "mae" in found:
        found["mae"] = -found["mae"]
    return found.get("psnr", found.get("f1")) if metric == "auto" else found.get(metric)
