"""Which evaluation was the best so far."""

import math
from collections.abc import Mapping
from typing import Any

from edgeconnect.config.sections import Config

DECIDES = (  # an evaluation of other pictures, or judged otherwise, beats none of before
    *("BEST_METRIC", "VAL_FLIST", "VAL_MASK_FLIST", "VAL_EDGE_FLIST", "MASK", "MASK_RATIO", "MASK_THRESHOLD"),
    *("MASK_POLARITY", "INPUT_SIZE", "EDGE", "NMS", "SIGMA", "SEED", "EDGE_THRESHOLD"),
)


class Best:
    """The highest score of the evaluations, and the step that it was reached at."""

    def __init__(self, config: Config) -> None:
        self.metric, self.config = config.log.best_metric, config.flat()
        self.value, self.step = -math.inf, 0

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint, or begin anew where it was judged otherwise."""
        before = state.get("config", {})
        if "best" in state and all(before.get(key) == self.config[key] for key in DECIDES):
            self.value, self.step = state["best"]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint keeps."""
        return {"best": (self.value, self.step)}

    def beaten(self, step: int, measured: Mapping[str, float]) -> bool:
        """Take an evaluation in and tell whether it is the best so far."""
        value = score(measured, self.metric)
        if value is None or not math.isfinite(value) or value <= self.value:
            return False
        self.value, self.step = value, step
        return True


def score(measured: Mapping[str, float], metric: str) -> float | None:
    """Return what BEST_METRIC says, higher for better; None where the stage does not measure it.

    `auto` is psnr, in the edge stage f1: the harmonic mean of precision and recall.
    """
    precision, recall = measured.get("precision", measured.get("pre")), measured.get("recall", measured.get("rec"))
    values: dict[str, float] = {}
    if precision is not None and recall is not None:
        values["f1"] = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    if "mae" in measured:
        values["mae"] = -measured["mae"]
    if "psnr" in measured:
        values["psnr"] = measured["psnr"]
    return values.get("psnr", values.get("f1")) if metric == "auto" else values.get(metric)
