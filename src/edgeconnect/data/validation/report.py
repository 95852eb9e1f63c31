"""What is wrong with the data, as a report: findings and figures, on screen or as JSON (docs/data.md)."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tabulate import tabulate

from edgeconnect.errors import NAMED, named, printable
from edgeconnect.plain import plain

SCHEMA = 1
COLUMNS = 100
WIDEST = 40  # characters of the kinds of pictures
BINS = 10  # of the hole ratio, 10 % each
RANKS = {"note": 0, "warning": 1, "error": 2}
Severity = Literal["error", "warning", "note"]


class Finding(NamedTuple):
    """One thing that is wrong, in which list (the key that names it), and every file that it is wrong with."""

    severity: Severity
    code: str
    where: str
    message: str
    files: tuple[str, ...] = ()

    def line(self) -> str:
        """Return one line: key, problem, a few of the files, severity and code."""
        files = f": {named(self.files)}" if self.files else ""
        key = "" if self.message.startswith(f"{self.where} ") else f"{self.where}: "
        return f"{key}{self.message}{files} [{self.severity}: {self.code}]"

    def lines(self) -> Iterator[str]:
        """Yield severity, key and code, the message, and a few of the files."""
        yield f"{self.severity}  {self.where}  {self.code}"
        message = textwrap.wrap(self.message, COLUMNS - 2, break_long_words=False, break_on_hyphens=False)
        yield from (f"  {line}" for line in message)
        yield from (f"    {name}" for name in self.files[:NAMED])
        if len(self.files) > NAMED:
            yield f"    and {len(self.files) - NAMED} more"


class Range(NamedTuple):
    """Smallest, middle and largest of some numbers."""

    low: float
    median: float
    high: float


class Holes(NamedTuple):
    """The hole ratios of a split's masks: files of the list `source`, or `drawn` ones."""

    source: str
    listed: int
    read: int
    histogram: tuple[int, ...]  # of BINS equal bins
    ratio: Range


class Edgeless(NamedTuple):
    """How many items of the dry run have no edge in their hole."""

    items: int
    without: int


class SplitFigures(NamedTuple):
    """The figures of one split; width, height and kinds are those of the pictures that could be read."""

    name: str
    listed: int
    read: int
    kinds: Mapping[str, int]
    width: Range | None
    height: Range | None
    holes: Holes | None
    edgeless: Edgeless | None


class Throughput(NamedTuple):
    """How fast the loader serves pictures to train on."""

    pictures_per_second: float
    batch_size: int
    num_workers: int


class Report(NamedTuple):
    """Everything that was found; `quick` says that only a few files of each list were read."""

    quick: bool
    splits: tuple[SplitFigures, ...]
    findings: tuple[Finding, ...]  # the gravest first
    throughput: Throughput | None = None

    @property
    def severity(self) -> int:
        """Return 0 where nothing, or notes alone, was found, 1 for warnings, 2 for errors: the exit code."""
        return max((RANKS[finding.severity] for finding in self.findings), default=0)

    def to_json(self) -> dict[str, Any]:
        """Return plain lists and dictionaries; `schema` counts up where a field changes its meaning or goes."""
        return {"schema": SCHEMA, "severity": self.severity, **plain(self)}

    def table(self) -> str:
        """Return lines of at most 100 columns, paths excepted; a finding names five files and counts the rest."""
        counts = {name: sum(finding.severity == name for finding in self.findings) for name in reversed(RANKS)}
        counted = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        extent = "; only some files of each list were read" if self.quick else ""
        summary = [f"{counted or 'nothing found'}{extent}"]
        parts = [_rates(self.splits, self.throughput), *(finding.lines() for finding in self.findings), summary]
        blocks = [_pictures(self.splits), _holes(self.splits), *map("\n".join, parts)]
        return printable("\n\n".join(filter(None, blocks)))


def _pictures(splits: Sequence[SplitFigures]) -> str:
    rows = [["pictures", "listed", "read", "width", "height", "kinds"]]
    for split in splits:
        kinds = ", ".join(f"{kind} {count}" for kind, count in split.kinds.items())
        rows.append([split.name, str(split.listed), str(split.read), _span(split.width), _span(split.height), kinds])
    if not splits:
        return ""
    sides, widths = ["left", *["right"] * 4, "left"], [*[None] * 5, WIDEST]
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides, maxcolwidths=widths)


def _span(sizes: Range | None) -> str:
    if sizes is None:
        return "-"
    return f"{sizes.low:g}" if sizes.low == sizes.high else f"{sizes.low:g}-{sizes.high:g}"


def _holes(splits: Sequence[SplitFigures]) -> str:
    step = 100 // BINS
    rows = [["holes in %", "masks", *(f"{low}-{low + step}" for low in range(0, 100, step)), "median"]]
    for split in splits:
        if split.holes:
            counts = map(str, split.holes.histogram)
            rows.append([split.name, str(split.holes.read), *counts, f"{split.holes.ratio.median:.1%}"])
    sides = ["left", *["right"] * (BINS + 2)]
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=sides) if len(rows) > 1 else ""


def _rates(splits: Sequence[SplitFigures], loader: Throughput | None) -> Iterator[str]:
    for split in splits:
        if split.edgeless:
            yield f"{split.name}: {split.edgeless.without} of {split.edgeless.items} items have no edge in their hole"
    if loader:
        keys = f"BATCH_SIZE {loader.batch_size}, NUM_WORKERS {loader.num_workers}"
        yield f"loader: {loader.pictures_per_second:.0f} pictures a second ({keys})"
