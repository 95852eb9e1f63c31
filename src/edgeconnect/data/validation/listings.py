"""The lists that a configuration names, and what their files are found to be."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

from edgeconnect.atomic import expanded
from edgeconnect.config.sections import DRAWN_MASKS, SPLITS, TEST, TRAIN, VAL, DataConfig
from edgeconnect.data import files
from edgeconnect.data.sources import SceneSource, open_source
from edgeconnect.data.validation.file_info import FileInfo, inspect_mask, inspect_picture
from edgeconnect.data.validation.report import Finding, Severity
from edgeconnect.errors import UserError
from edgeconnect.progress import tracked
from edgeconnect.threads import in_threads

PICTURE, MASK, EDGE = "picture", "mask", "edge map"
QUICK = 64  # files of each list that a quick look reads
QUICK_NAMES = 100_000  # names that a quick look compares, in about a second


@dataclass(frozen=True)
class Listing:
    """What one key names: the pictures, masks or edge maps of a split, and what is known of those that were read.

    Built-in scenes have numbers in place of paths.
    """

    split: str
    key: str
    kind: str
    paths: Sequence[Path]
    shared: bool = False  # a single mask may serve every picture
    side: int = 0  # at which masks are measured; 0: at their own size
    scenes: range = range(0)
    step: int = 1  # how far what is read lies apart
    infos: Mapping[Path, FileInfo] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.scenes) or len(self.paths)

    @property
    def stride(self) -> int:
        """Return how far names that are compared lie apart: of a long list that is looked at quickly, few are."""
        return self.step if len(self.paths) > QUICK_NAMES else 1

    def every(self, step: int) -> Sequence[Path]:
        """Return paths that lie so far apart, all of them without a copy."""
        return self.paths if step == 1 else self.paths[::step]

    @cached_property
    def counts(self) -> Counter[Path]:
        """Return how often each path is listed, of those whose names are compared, in the list's order."""
        return Counter(self.every(self.stride))

    @cached_property
    def inspected(self) -> list[FileInfo]:
        """Return what was read, each path once, in the list's order."""
        return [self.infos[path] for path in self.counts if path in self.infos]

    @cached_property
    def sound(self) -> list[FileInfo]:
        """Return what can be decoded."""
        return [info for info in self.inspected if not info.fault]

    @cached_property
    def places(self) -> dict[Path, str]:
        """Return where each path leads; links are followed for what was read."""
        return {path: self.infos[path].real if path in self.infos else str(path.absolute()) for path in self.counts}

    def finding(self, severity: Severity, code: str, problem: str, found: Sequence[FileInfo]) -> Finding:
        """Return a finding that counts and names the files."""
        message = f"{len(found)} of {len(self.inspected)} {self.kind}s: {problem}"
        return Finding(severity, code, self.key, message, tuple(str(info.path) for info in found))


def refusal(code: str, key: str, error: UserError, names: Iterable[str] = (), severity: Severity = "error") -> Finding:
    """Turn what stops a run into a finding."""
    return Finding(severity, code, key, str(error).removeprefix(f"{key}: "), tuple(names))


def open_lists(config: DataConfig) -> tuple[list[Listing], list[Finding]]:
    """Return the lists that can be opened, and what is wrong with the others."""
    listings, findings = [], []
    for split, kind, key, value in _named(config):
        try:
            listings.append(_opened(split, kind, key, value, config))
        except UserError as error:
            findings.append(refusal("unusable-list", key, error))
    return listings, list(dict.fromkeys(findings))


def _named(config: DataConfig) -> Iterator[tuple[str, str, str, str]]:
    """Yield split, kind, key and value of every list that training and test.py read; VAL borrows TRAIN's masks."""
    for split in SPLITS:
        lists = config.lists(split)
        if split != TRAIN and not lists.pictures:
            continue
        yield split, PICTURE, f"{split}_FLIST", lists.pictures
        owner = TRAIN if split == VAL and not lists.masks else split
        if lists.masks if split == TEST else config.mask not in DRAWN_MASKS:
            yield split, MASK, f"{owner}_MASK_FLIST", config.lists(owner).masks
        if config.edge == "external" and (lists.edges or split != TEST):
            yield split, EDGE, f"{split}_EDGE_FLIST", lists.edges


def _opened(split: str, kind: str, key: str, value: str, config: DataConfig) -> Listing:
    if kind != PICTURE:
        side = config.input_size if kind == MASK and split != TEST else 0
        return Listing(split, key, kind, files.list_images(value, key), not expanded(value).is_dir(), side)
    source = open_source(value, key, config.input_size, config.max_pixels)
    if isinstance(source, SceneSource):
        return Listing(split, key, kind, (), scenes=range(source.first, source.last))
    return Listing(split, key, kind, source.paths)


def read_lists(listings: Sequence[Listing], config: DataConfig, quick: bool, workers: int) -> list[Listing]:
    """Return the lists with what their files are found to be; a file that several of them name is read once.

    With `quick`, at most 64 files of each are read, spread over it.
    """
    if quick:
        listings = [replace(listing, step=max(1, -(-len(listing.paths) // QUICK))) for listing in listings]
    wanted: dict[tuple[str, int], dict[Path, None]] = defaultdict(dict)  # a dictionary keeps the order
    for listing in listings:
        wanted[listing.kind, listing.side] |= dict.fromkeys(listing.every(listing.step))
    infos: dict[tuple[str, int], dict[Path, FileInfo]] = {}
    for (kind, side), paths in wanted.items():
        hashed = kind == PICTURE and not quick
        inspect: Callable[[Path], FileInfo] = partial(inspect_picture, max_pixels=config.max_pixels, hashed=hashed)
        if kind == MASK:
            inspect = partial(inspect_mask, config=config, side=side)
        found = tracked(in_threads(inspect, paths, workers), len(paths), f"reading {kind}s", "file")
        infos[kind, side] = {info.path: info for info in found}
    return [replace(listing, infos=infos[listing.kind, listing.side]) for listing in listings]
