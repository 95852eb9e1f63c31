"""The lists that a configuration names, opened, and what their files are found to be."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from edgeconnect.atomic import expanded
from edgeconnect.config.sections import DRAWN_MASKS, SPLITS, TEST, TRAIN, VAL, DataConfig
from edgeconnect.data import files
from edgeconnect.data.sources import FileSource, open_source
from edgeconnect.data.validation.file_info import Specimen, look_at_mask, look_at_picture
from edgeconnect.data.validation.report import Finding, Severity
from edgeconnect.errors import UserError
from edgeconnect.threads import in_threads

PICTURE, MASK, EDGE = "picture", "mask", "edge map"
QUICK = 64  # files of each list that a quick look reads

Watch = Callable[[int], object]


@dataclass(frozen=True)
class Listing:
    """What one key names: the pictures, masks or edge maps of a split, and those of them that were looked at."""

    split: str
    key: str
    kind: str
    paths: Sequence[Path]
    shared: bool = False  # a single mask may serve every picture
    side: int = 0  # at which masks are measured; 0: at their own size
    drawn: bool = False  # built-in scenes: nothing to read
    seen: Mapping[Path, Specimen] = field(default_factory=dict)

    @property
    def looked_at(self) -> list[Specimen]:
        """Return what was read, each path once, in the list's order."""
        return [self.seen[path] for path in dict.fromkeys(self.paths) if path in self.seen]

    @property
    def sound(self) -> list[Specimen]:
        """Return what can be decoded."""
        return [specimen for specimen in self.looked_at if not specimen.fault]

    @property
    def places(self) -> dict[Path, str]:
        """Return where each path leads; links are followed for what was read."""
        return {path: self.seen[path].real if path in self.seen else str(path.absolute()) for path in self.paths}

    def finding(self, severity: Severity, code: str, problem: str, found: Sequence[Specimen]) -> Finding:
        """Say of how many files a problem is found, and of which."""
        message = f"{len(found)} of {len(self.looked_at)} {self.kind}s: {problem}"
        return Finding(severity, code, self.key, message, tuple(str(specimen.path) for specimen in found))


def refusal(code: str, key: str, error: UserError, names: Iterable[str] = ()) -> Finding:
    """Turn what stops a run into a finding."""
    return Finding("error", code, key, str(error).removeprefix(f"{key}: "), tuple(names))


class _Named(NamedTuple):
    split: str
    kind: str
    key: str
    value: str


def open_lists(config: DataConfig) -> tuple[list[Listing], list[Finding]]:
    """Return the lists that can be opened, and what is wrong with the others."""
    listings, findings = [], []
    for named in _named(config):
        try:
            listings.append(_opened(named, config))
        except UserError as error:
            findings.append(refusal("unusable-list", named.key, error))
    return listings, list(dict.fromkeys(findings))


def _named(config: DataConfig) -> Iterator[_Named]:
    """Yield what training and test.py take from where; VAL borrows the masks of TRAIN."""
    for split in SPLITS:
        lists = config.lists(split)
        if split != TRAIN and not lists.pictures:
            continue
        yield _Named(split, PICTURE, f"{split}_FLIST", lists.pictures)
        owner = TRAIN if split == VAL and not lists.masks else split
        if lists.masks if split == TEST else config.mask not in DRAWN_MASKS:
            yield _Named(split, MASK, f"{owner}_MASK_FLIST", config.lists(owner).masks)
        if config.edge == "external" and (lists.edges or split != TEST):
            yield _Named(split, EDGE, f"{split}_EDGE_FLIST", lists.edges)


def _opened(named: _Named, config: DataConfig) -> Listing:
    split, kind, key, value = named
    if kind != PICTURE:
        side = config.input_size if kind == MASK and split != TEST else 0
        return Listing(split, key, kind, files.list_images(value, key), not expanded(value).is_dir(), side)
    source = open_source(value, key, config.input_size, config.max_pixels)
    if isinstance(source, FileSource):
        return Listing(split, key, kind, source.paths)
    return Listing(split, key, kind, [Path(source.name(index)) for index in range(len(source))], drawn=True)


def count_files(config: DataConfig, quick: bool = False) -> int:
    """Count the files that an examination reads."""
    listings, _ = open_lists(config)
    return sum(len(paths) for paths in _to_read(listings, quick).values())


def _to_read(listings: Sequence[Listing], quick: bool) -> dict[tuple[str, int], list[Path]]:
    """Return, by kind and side, each path once; for a quick look, paths spread over each list."""
    found: dict[tuple[str, int], dict[Path, None]] = {}
    for listing in listings:
        stride = -(-len(listing.paths) // QUICK) if quick else 1
        paths = [] if listing.drawn else listing.paths[::stride]
        found.setdefault((listing.kind, listing.side), {}).update(dict.fromkeys(paths))
    return {group: list(paths) for group, paths in found.items()}


def read_lists(
    listings: Sequence[Listing], config: DataConfig, quick: bool, workers: int, watch: Watch | None
) -> list[Listing]:
    """Return the lists with what their files are found to be; a file that several of them name is read once.

    `watch` is called with 1 for each file.
    """
    seen: dict[tuple[str, int], dict[Path, Specimen]] = {}
    for (kind, side), paths in _to_read(listings, quick).items():
        look: Callable[[Path], Specimen] = partial(
            look_at_picture, max_pixels=config.max_pixels, hashed=kind == PICTURE and not quick
        )
        if kind == MASK:
            look = partial(look_at_mask, config=config, side=side)
        seen[kind, side] = {}
        for found in in_threads(look, paths, workers):
            seen[kind, side][found.path] = found
            if watch:
                watch(1)
    return [replace(listing, seen=seen[listing.kind, listing.side]) for listing in listings]
