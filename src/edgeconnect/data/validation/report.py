"""What is wrong with the data, as a report: findings and figures, on screen or as JSON (docs/data.md)."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from tabulate import tabulate

from edgeconnect.errors import NAMED, named, printable
from edgeconnect.plain import plain

SCHEMA = 1
COLUMNS = 100
WIDEST = 40  # characters of a column of text
BINS = 10  # of the hole ratio, 10 % each
RANKS = {"note": 0, "warning": 1, "error": 2}
Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, in which list (the key that names it), and every file that it is wrong with."""

    severity: Severity
    code: str
    where: str
    message: str
    files: tuple[str, ...] = ()

    def line(self) -> str:
        """Return one line: key, problem, a few of the files, severity and code."""
        files = f": {named(self.files)}" if self.files else ""
        return f"{self.where}: {self.message}{files} [{self.severity}: {self.code}]"


@dataclass(frozen=True)
class Range:
    """Smallest, middle and largest of some numbers."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Holes:
    """The hole ratios of a split's masks: files of the list `source`, or `drawn` ones."""

    source: str
    listed: int
    read: int
    histogram: tuple[int, ...]  # of BINS equal bins
    ratio: Range


@dataclass(frozen=True)
class Edgeless:
    """How many items of the dry run have no edge in their hole."""

    items: int
    without: int


@dataclass(frozen=True)
class SplitFigures:
    """The figures of one split; width, height and kinds are those of the pictures that could be read."""

    name: str
    listed: int
    read: int
    kinds: Mapping[str, int]
    width: Range | None
    height: Range | None
    holes: Holes | None
    edgeless: Edgeless | None


@dataclass(frozen=True)
class Throughput:
    """How fast the loader serves pictures to train on."""

    pictures_per_second: float
    batch_size: int
    num_workers: int


@dataclass(frozen=True)
class Report:
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
        return {"schema": SCHEMA, "severity": self.severity, **plain(asdict(self))}

    def table(self) -> str:
        """Return lines of at most 100 columns, paths excepted; a finding names five files and counts the rest."""
        blocks = [_pictures(self.splits), _holes(self.splits), [*_edges(self.splits), *_loader(self.throughput)]]
        blocks += [[*_finding_lines(finding)] for finding in self.findings]
        return printable("\n\n".join("\n".join(block) for block in [*blocks, [self._summary()]] if block))

    def _summary(self) -> str:
        counts = {name: sum(finding.severity == name for finding in self.findings) for name in reversed(RANKS)}
        counted = ", ".join(f"{count} {name}{'s' * (count != 1)}" for name, count in counts.items() if count)
        extent = "; only some files of each list were read" if self.quick else ""
        return f"{counted or 'nothing found'}{extent}"


def _pictures(splits: Sequence[SplitFigures]) -> list[str]:
    rows = [["pictures", "listed", "read", "width", "height", "kinds"]]
    for split in splits:
        kinds = ", ".join(f"{kind} {count}" for kind, count in split.kinds.items())
        sizes = [_span(split.width), _span(split.height)]
        rows.append([split.name, str(split.listed), str(split.read), *sizes, kinds])
    return _aligned(rows, wide_column=True) if splits else []


def _span(sizes: Range | None) -> str:
    if sizes is None:
        return "-"
    return f"{sizes.low:g}" if sizes.low == sizes.high else f"{sizes.low:g}-{sizes.high:g}"


def _holes(splits: Sequence[SplitFigures]) -> list[str]:
    step = 100 // BINS
    rows = [["holes in %", "masks", *(f"{low}-{low + step}" for low in range(0, 100, step)), "median"]]
    for split in splits:
        if split.holes:
            counts = [str(count) for count in split.holes.histogram]
            rows.append([split.name, str(split.holes.read), *counts, f"{split.holes.ratio.median:.1%}"])
    return _aligned(rows) if len(rows) > 1 else []


def _edges(splits: Sequence[SplitFigures]) -> Iterator[str]:
    for split in splits:
        if split.edgeless:
            yield f"{split.name}: {split.edgeless.without} of {split.edgeless.items} items have no edge in their hole"


def _loader(rate: Throughput | None) -> Iterator[str]:
    if rate:
        keys = f"BATCH_SIZE {rate.batch_size}, NUM_WORKERS {rate.num_workers}"
        yield f"loader: {rate.pictures_per_second:.0f} pictures a second ({keys})"


def _aligned(rows: Sequence[Sequence[str]], wide_column: bool = False) -> list[str]:
    """Align columns: the first to the left, the others to the right; a wide last one to the left, wrapped."""
    columns = len(rows[0])
    last, most = ("left", WIDEST) if wide_column else ("right", None)
    sides = ["left", *["right"] * (columns - 2), last]
    table = tabulate(
        rows, tablefmt="plain", disable_numparse=True, colalign=sides, maxcolwidths=[None] * (columns - 1) + [most]
    )
    return table.splitlines()


def _finding_lines(finding: Finding) -> Iterator[str]:
    yield f"{finding.severity}  {finding.where}  {finding.code}"
    yield from textwrap.wrap(
        finding.message,
        COLUMNS,
        initial_indent="  ",
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (f"    {name}" for name in finding.files[:NAMED])
    if len(finding.files) > NAMED:
        yield f"    and {len(finding.files) - NAMED} more"
