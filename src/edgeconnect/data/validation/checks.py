"""Find what is wrong with lists, files and the items of the dry run; docs/data.md explains every code."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from edgeconnect import images
from edgeconnect.config.sections import TEST, TRAIN, Config, DataConfig
from edgeconnect.data import files, masks
from edgeconnect.data.edges import NO_EDGES
from edgeconnect.data.sources import scene_name
from edgeconnect.data.validation.dry_run import DryRun
from edgeconnect.data.validation.file_info import FileInfo
from edgeconnect.data.validation.listings import EDGE, MASK, PICTURE, Listing, refusal
from edgeconnect.data.validation.report import RANKS, Finding, Severity
from edgeconnect.errors import UserError

MIDDLE = range(64, 192)  # grays that JPEG makes neither of black nor of white
EDGELESS_SHARE = 0.1  # of the items, above which a missing edge is more than a picture's nature
FAULTS = {
    "missing-file": "not there; correct the list",
    "not-a-file": "a folder, or no regular file; take it off the list, or list the pictures in it",
    "no-permission": "may not be read; change the permissions of the file or of its folder",
    "empty-file": "without a single byte; fetch it again, or take it off the list",
    "not-a-picture": "in no known format; replace it, or take it off the list",
    "truncated-file": "cut short, the end is missing; fetch it again, or take it off the list",
    "damaged-file": "damaged, cannot be decoded; fetch it again, or take it off the list",
    "too-large": "larger than MAX_PIXELS {pixels} or than memory allows; shrink it, or raise that",
    "too-small": "a side below the {smallest} pixels that training needs; set INPUT_SIZE, or take it off the list",
    "deep-samples": "in samples whose white is not known (12 bits, 32, floats); save 8 bits, or 16 from 0 to 65535",
    "dark-mask": "with marks, none above MASK_THRESHOLD {threshold}; mark holes with 255, or set that to less",
    "in-part": "much of it in gray or a colour that is no hole by MASK_THRESHOLD {threshold}; mark holes in one colour",
    "gray-mask": "a picture, or as gray as one; give masks of black and white",
    "no-hole": "without a hole; take it off the list",
    "all-hole": "nothing but hole; take it off the list",
}


def check_config(config: DataConfig) -> Iterator[Finding]:
    """Yield which optional lists the configuration leaves empty."""
    if not config.val_flist:
        problem = "is empty: no evaluation, samples show training pictures; name held-out pictures"
        yield Finding("note", "no-validation", "VAL_FLIST", problem)
    if config.test_flist and not config.test_mask_flist:
        yield Finding("note", "no-test-masks", "TEST_MASK_FLIST", "is empty: test.py needs --mask")


def check_listings(listings: Sequence[Listing], config: Config) -> Iterator[Finding]:
    """Yield what is wrong with the files of lists that were read; masks that two splits share are reported once."""
    unique = list({listing.key: listing for listing in listings}.values())
    pictures = {listing.split: listing for listing in unique if listing.kind == PICTURE}
    yield from bad_files(unique, config.data, config.stage.smallest_side)
    for listing in pictures.values():
        yield from sizes(listing, config)
        yield from repeats(listing)
    yield from overlaps(list(pictures.values()))
    for listing in (listing for listing in unique if listing.kind == MASK):
        yield from holes(listing, config.data)
    for listing in listings:
        by_name = listing.kind == EDGE or config.data.mask == "paired" or listing.split == TEST
        if listing.kind != PICTURE and by_name and listing.split in pictures:
            yield from pairs(pictures[listing.split], listing)


def bad_files(listings: Sequence[Listing], config: DataConfig, smallest: int) -> Iterator[Finding]:
    """Yield what a run stops at or, with ON_BAD_IMAGE `skip`, passes over until BAD_IMAGE_LIMIT; test.py stops."""
    faults = [(listing, *fault) for listing in listings for fault in _faults(listing, config, smallest).items()]
    skipped = {info.path for listing, _, found in faults if listing.split != TEST for info in found}
    skips = config.on_bad_image == "skip" and len(skipped) <= config.bad_image_limit
    facts = {"pixels": config.max_pixels, "smallest": smallest, "threshold": config.mask_threshold}
    for listing, code, found in faults:
        severity: Severity = "warning" if skips and listing.split != TEST else "error"
        yield listing.finding(severity, code, FAULTS[code].format(**facts), found)
    if config.on_bad_image == "skip" and not skips:
        problem = f"{len(skipped)} files cannot be used, {config.bad_image_limit} may be; mend them, or raise it"
        yield Finding("error", "too-many-bad", "BAD_IMAGE_LIMIT", problem)


def _faults(listing: Listing, config: DataConfig, smallest: int) -> dict[str, list[FileInfo]]:
    found = defaultdict(list)
    as_they_are = listing.split == TRAIN and listing.kind == PICTURE and not config.input_size
    for info in listing.inspected:
        if info.fault:
            found[info.fault].append(info)
        elif as_they_are and min(info.width, info.height) < smallest:
            found["too-small"].append(info)
    return found


def sizes(listing: Listing, config: Config) -> Iterator[Finding]:
    """Yield pictures that make no batch with the others, or that INPUT_SIZE enlarges."""
    side, batch_size = config.data.input_size, config.optim.batch_size
    shapes = Counter((info.width, info.height) for info in listing.sound)
    if listing.split == TEST or not shapes:
        return
    if not side and batch_size > 1 and len(shapes) > 1:
        usual = shapes.most_common(1)[0][0]
        problem = f"not {usual[0]}x{usual[1]} like the others; set INPUT_SIZE, or BATCH_SIZE: 1 (it is {batch_size})"
        others = [info for info in listing.sound if (info.width, info.height) != usual]
        yield listing.finding("error", "mixed-sizes", problem, others)
    small = [info for info in listing.sound if min(info.width, info.height) < side]
    if small:
        problem = f"smaller than INPUT_SIZE {side}, enlarged to it; larger ones, or a smaller INPUT_SIZE, train better"
        yield listing.finding("note", "enlarged", problem, small)


def repeats(listing: Listing) -> Iterator[Finding]:
    """Yield pictures that a list names twice, or that hold the same bytes as another."""
    places = listing.places
    times: Counter[str] = Counter()
    for path, count in listing.counts.items():
        times[places[path]] += count
    twice = tuple(str(path) for path in places if times[places[path]] > 1)
    if twice:
        problem = f"{len(twice)} of {len(places)} names: listed more than once; keep one line of each"
        yield Finding("warning", "listed-twice", listing.key, problem, twice)
    groups: dict[str, dict[str, FileInfo]] = defaultdict(dict)
    for info in listing.sound:
        if info.digest:
            groups[info.digest].setdefault(info.real, info)
    copies = [info for group in groups.values() if len(group) > 1 for info in group.values()]
    if copies:
        problem = "the same bytes as another, which is named beside it; keep one of each"
        yield listing.finding("warning", "same-content", problem, copies)


def overlaps(listings: Sequence[Listing]) -> Iterator[Finding]:
    """Yield pictures of one split that an earlier one has, too, under the same name or another."""
    for one, other in combinations(listings, 2):
        severity: Severity = "warning" if one.split == TRAIN else "note"
        places = set(one.places.values())
        both = tuple(str(path) for path, place in other.places.items() if place in places)
        if one.scenes and other.scenes:
            shared = range(max(one.scenes.start, other.scenes.start), min(one.scenes.stop, other.scenes.stop))
            both = tuple(map(scene_name, shared))
        if both:
            count = len(other.scenes) or len(other.places)
            problem = f"{len(both)} of {count} pictures: in {one.key}, too; take them off one of the lists"
            yield Finding(severity, "overlap", other.key, problem, both)
        originals = {info.digest: info.path for info in one.sound if info.digest}
        copies = [x for x in other.sound if x.digest in originals and x.real not in places]
        if copies:
            first = originals[copies[0].digest]
            problem = f"the same bytes as one of {one.key}, the first as {first}; take them off one of the lists"
            yield other.finding(severity, "overlap-content", problem, copies)


def holes(listing: Listing, config: DataConfig) -> Iterator[Finding]:
    """Yield masks that are inverted, not black and white, or without a hole in the square that is trained on."""
    sound = listing.sound
    try:
        if sound and not config.allow_large_holes:
            masks.refuse_large_holes([info.hole_ratio for info in sound], listing.key)
    except UserError as error:
        large = (str(info.path) for info in sound if info.hole_ratio > masks.LARGE_HOLES)
        yield refusal("inverted-masks", listing.key, error, large)
    square = "the middle square, which is what training sees"
    decided = f"MASK_THRESHOLD {config.mask_threshold} decides what is a hole"
    rims: Severity = "note" if config.mask_threshold in MIDDLE else "warning"
    kinds: list[tuple[Severity, str, str, list[FileInfo]]] = [
        ("warning", "all-hole", f"nothing but hole in {square}", [x for x in sound if x.hole_ratio == 1]),
        ("warning", "no-hole", f"without a hole in {square}", [x for x in sound if x.hole_ratio == 0]),
        (rims, "non-binary", f"gray in places; {decided}", [x for x in sound if x.between]),
    ]
    yield from (listing.finding(*kind) for kind in kinds if kind[-1])


def pairs(pictures: Listing, others: Listing) -> Iterator[Finding]:
    """Yield what pictures and their masks or edge maps lack of each other, and where their shapes differ.

    Masks to test with may be of other names: evaluate.py chooses among them, only test.py pairs them.
    """
    shared = others.shared if others.kind == MASK else len(pictures) == 1
    names = [Path(scene_name(number)) for number in pictures.scenes] or pictures.paths
    try:
        partners = files.pair(names, others.paths, others.kind, shared, spare=others.split == TEST)
    except UserError as error:
        severity: Severity = "note" if others.kind == MASK and others.split == TEST else "error"
        found = error.paths if isinstance(error, files.PairError) else ()
        yield refusal("unpaired", others.key, error, map(str, found), severity)
        return
    if pictures.scenes or (shared and len(others.paths) == 1 and pictures.split != TEST):
        return
    sound = {info.path: info for info in others.sound}
    partner = dict(zip(pictures.every(pictures.stride), partners[:: pictures.stride], strict=True))
    both = [(a, sound[partner[a.path]]) for a in pictures.sound if partner[a.path] in sound]
    odd = [a for a, b in both if images.is_stretched((a.height, a.width), (b.height, b.width))]
    if odd:
        problem = f"of another shape than the {others.kind} in {others.key}; cut one like the other"
        yield pictures.finding("warning", "other-shape", problem, odd)


def check_dry_run(dry_run: DryRun, config: DataConfig) -> Iterator[Finding]:
    """Yield what keeps training from drawing items, and pictures without an edge to learn in their hole."""
    if dry_run.error:
        yield refusal("refused", f"{dry_run.split}_FLIST", dry_run.error)
    names, items = tuple(dry_run.edgeless), dry_run.with_hole
    if names and config.sigma != NO_EDGES:
        severity: Severity = "warning" if len(names) > EDGELESS_SHARE * items else "note"
        problem = f"{len(names)} of {items} items of the dry run: no edge in the hole; lower SIGMA"
        yield Finding(severity, "no-edges", f"{dry_run.split}_FLIST", f"{problem}, or leave flat pictures out", names)


def ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Sort the gravest first; that training refuses the data is left out where an error says why."""
    explained = any(finding.severity == "error" and finding.code != "refused" for finding in findings)
    kept = [finding for finding in findings if not (explained and finding.code == "refused")]
    return tuple(sorted(kept, key=lambda finding: -RANKS[finding.severity]))
