"""Declare keys, and check one value each: take what YAML made of it, return the typed value or raise ValueError."""

import contextlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Any

Parser = Callable[[Any], Any]

MOST_PHASES = 100
MAX_PIXELS = 200_000_000  # a picture of that many takes 0.6 GB as RGB
# No serious run meets these limits. They stop slips of the keyboard, which would use up memory or never end.
MAX_SIDE, MAX_SIGMA, MAX_SAVES, MAX_GPU = 16_384, 100, 1_000_000, 9_999

MANY, LARGE = 10**10, 1e9  # of counts and of weights

SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


def key(default: Any, parser: Parser, comment: str, fixed: bool = False) -> Any:
    """Declare one key: its default, the function that checks a value, its comment in the example.

    `fixed` ones cannot change while a stage trains: the networks or their objective would be others.
    """
    metadata = {"parser": parser, "comment": comment, "fixed": fixed}
    if isinstance(default, dict):
        return field(default_factory=default.copy, metadata=metadata)
    return field(default=default, metadata=metadata)


def one_of(*names: str) -> Parser:
    """Accept one of the names, in any case."""
    return numbered({}, *names)


def numbered(names: Mapping[int, str], *more: str) -> Parser:
    """Accept a published integer or its readable name, in any case, with `-` for `_`."""
    numbers = {str(number): name for number, name in names.items()}

    def parse(value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and value in names:
            return names[value]
        word = name(value)
        if word in numbers:
            return numbers[word]
        if word in (*names.values(), *more):
            return word
        raise ValueError(f"is none of: {', '.join([*map(' '.join, numbers.items()), *more])}")

    return parse


def real(low: float = -math.inf, high: float = math.inf) -> Parser:
    """Accept a finite number in [low, high]; `1e-4`, a string to YAML, is one."""

    def parse(value: Any) -> float:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not (math.isfinite(number) and low <= number <= high):
            raise ValueError(f"is no number{_bounds(low, high)}")
        return number

    return parse


def whole(low: int, high: float = math.inf) -> Parser:
    """Accept a whole number in [low, high]; `2e6` is one."""
    number = real(low, high)

    def parse(value: Any) -> int:
        with contextlib.suppress(ValueError):
            parsed: float = number(value)
            if parsed.is_integer():
                return int(parsed)
        raise ValueError(f"is no whole number{_bounds(low, high)}")

    return parse


def _bounds(low: float, high: float) -> str:
    if math.isfinite(low) and math.isfinite(high):
        return f" from {low:.15g} to {high:.15g}"
    return f" of {low:g} or more" if math.isfinite(low) else ""


def switch(value: Any) -> bool:
    """Accept 0, 1 and YAML's words for them."""
    try:
        return SWITCHES[str(value).strip().lower()]
    except KeyError:
        raise ValueError("is neither 0 nor 1") from None


def text(value: Any) -> str:
    """Accept a path or name; nothing after the colon means none."""
    if value is None:
        return ""
    if not isinstance(value, str | int | float):
        raise ValueError("is no path")
    return str(value).strip()


def name(value: Any) -> str:
    """Accept a name or number, in any case, with `-` for `_`."""
    return str(value).strip().lower().replace("-", "_")


def phases(value: Any) -> dict[str, list[dict[str, Any]]]:
    """Accept the phases of stages: `{edge: [{end: 1000, lr: 1e-4, train: [generator]}, ...]}`, ends rising.

    `lr` is a number, or one for each role; without it LR counts. `train` names the roles that learn, without it all.
    """
    if value in (None, ""):
        return {}
    if not isinstance(value, dict) or not all(isinstance(parts, list) for parts in value.values()):
        raise ValueError("is no `{stage: [{end: 1000, lr: 1e-4}, ...]}`")
    if any(not 0 < len(parts) <= MOST_PHASES for parts in value.values()):
        raise ValueError(f"has a stage without phases, or with more than {MOST_PHASES}")
    found = {name(stage): [_phase(part) for part in parts] for stage, parts in value.items()}
    for stage, parts in found.items():
        ends = [part["end"] for part in parts]
        if ends != sorted(set(ends)):
            raise ValueError(f"has ends of {stage} that do not rise: {ends}")
    return found


def _phase(part: Any) -> dict[str, Any]:
    if not isinstance(part, dict) or "end" not in part or part.keys() - {"end", "lr", "train"}:
        raise ValueError(f"has a phase {part!r}; give `end`, and if wanted `lr` and `train`")
    checked: dict[str, Any] = {"end": whole(1)(part["end"])}
    if "lr" in part:
        rate, lr = real(0), part["lr"]
        checked["lr"] = {name(role): rate(number) for role, number in lr.items()} if isinstance(lr, dict) else rate(lr)
    if "train" in part:
        roles = part["train"] if isinstance(part["train"], list) else [part["train"]]
        if not roles:
            raise ValueError(f"has a phase {part!r} in which nothing learns; name roles in `train`, or leave it out")
        checked["train"] = [name(role) for role in roles]
    return checked


def keep(value: Any) -> int:
    """Accept how many saves stay: 0 for all, or 2 or more, so that a damaged one has a predecessor."""
    number: int = whole(0, MAX_SAVES)(value)
    if number == 1:
        raise ValueError("is neither 0 (all) nor 2 or more: the save before the newest stands in for a damaged one")
    return number


def sigma(value: Any) -> float:
    """Accept a Canny scale: above 0, 0 for random, -1 for no edges."""
    number: float = real(-1, MAX_SIGMA)(value)
    if -1 < number < 0:
        raise ValueError("is neither -1 (no edges), 0 (random) nor above 0")
    return number


def decay(value: Any) -> float:
    """Accept a number from 0 to below 1."""
    number: float = real(0)(value)
    if number >= 1:
        raise ValueError("is no number from 0 to below 1")
    return number


def span(value: Any) -> tuple[float, float]:
    """Accept a range of shares: `[0.2, 0.4]`, `0.2-0.4` or `0.2 0.4`."""
    parts = value if isinstance(value, list | tuple) else re.split(r"[\s,;-]+", str(value).strip("[]() "))
    try:
        low, high = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise ValueError("is no range such as [0.2, 0.4]") from None
    if not 0 < low <= high < 1:
        raise ValueError("is no range with 0 < from <= to < 1")
    return low, high


def block(value: Any) -> tuple[int, int]:
    """Accept a range of pixels: `[4, 16]`, `4-16`, or one number."""
    parts = value if isinstance(value, list | tuple) else re.split(r"[\s,;-]+", str(value).strip("[]() "))
    try:
        low, high = (whole(2, MAX_SIDE)(part) for part in (parts[0], parts[-1]))
    except (IndexError, ValueError):
        raise ValueError(f"is no range of pixels from 2 to {MAX_SIDE}, such as [4, 8]") from None
    if low > high or len(parts) > 2:
        raise ValueError("is no range of pixels such as [4, 8]")
    return low, high


def device(value: Any) -> str:
    """Accept auto, cpu, cuda or cuda:N."""
    name = str(value).strip().lower()
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?", name):
        raise ValueError("is none of: auto, cpu, cuda, cuda:N")
    return name


def gpus(value: Any) -> tuple[int, ...]:
    """Accept GPU numbers: `[0]`, `0`, `0,1`; an empty list means none."""
    parts = value if isinstance(value, list | tuple) else re.split(r"[\s,]+", str(value).strip("[]() "))
    number = whole(0, MAX_GPU)
    try:
        return tuple(number(part) for part in parts if str(part).strip())
    except ValueError:
        raise ValueError("is no list of GPU numbers such as [0]") from None
