"""Read and write the configuration: upper-case YAML outside, the frozen `sections` inside.

Keys are flat, but those that one method alone has: they stand under its name, and are called `METHOD.KEY` elsewhere.

`config.yml.example` is `example()` written to a file.
"""

import dataclasses
import difflib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from edgeconnect.atomic import expanded
from edgeconnect.config import validators
from edgeconnect.config.sections import IMAGENET, RANDOM, SHARED, Config, RunConfig, known_keys
from edgeconnect.config.validators import Parser
from edgeconnect.errors import UserError, reason
from edgeconnect.methods.catalogue import ALL, METHODS

NOT_COMPARED = ("MODE", "MODEL", "RAW_EDGES")
LONGEST = 100  # characters of a value, entries of a list
LEGACY = {"GAN_POOL_SIZE": "GAN_POOL_SIZE is accepted and ignored: it never did anything"}

Override = tuple[str, str]  # where it is written, and `KEY=VALUE`


@dataclass(frozen=True)
class Loaded:
    """A configuration with what its reader should be told."""

    config: Config
    notes: tuple[str, ...] = ()


def load(path: Path | None, overrides: Iterable[Override] = (), completing: bool = False) -> Loaded:
    """Read a YAML file of flat keys and apply overrides: (where it was written, `KEY=VALUE`).

    Relative paths are looked for in the file's folder, then in the working directory; those of overrides the other
    way round. With `completing`, MODEL is the stage of METHOD that completes pictures, unless an override names it.
    Raises UserError naming file, line, key, allowed values and the nearest key.
    """
    values: dict[str, Any] = {}
    written: dict[str, str] = {}  # where each value stands
    notes: list[str] = []
    known = known_keys()
    folder = path.parent if path else Path()

    def merge(entries: Iterable[tuple[str, str, Any]], places: Iterable[Path]) -> None:
        for where, name, value in entries:
            if name in LEGACY:
                notes.append(f"{where}: {LEGACY[name]}")
                continue
            if name not in known:
                near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.5)
                hint = f"did you mean {near[0]}?" if near else "see config.yml.example for every key"
                raise UserError(f"{where}: unknown key {name}; {hint}")
            checked = _judged(where, name, value, known[name].metadata["parser"])
            values[name] = _resolved(checked, places) if is_text(name) else checked
            written[name] = where

    if path:
        merge(_entries(path), (folder, Path()))
    if completing:
        values.pop("MODEL", None)
    merge(_overrides(overrides), (Path(), folder))
    config = build(_staged(values, written, completing))
    unread = [name for name in config.row.unread if values.get(name, known[name].default) != known[name].default]
    notes += [f"{written[name]}: {name} means nothing to METHOD {config.row.name}" for name in unread]
    return Loaded(config, tuple(notes))


def _staged(values: dict[str, Any], written: Mapping[str, str], completing: bool) -> dict[str, Any]:
    """Check what depends on the method and its stage: MODEL, the stages of PHASES, the smallest INPUT_SIZE."""
    row = METHODS[values.get("METHOD", RunConfig.method)]
    usual = row.completes if completing else row.stages[0].name
    number = validators.numbered(row.numbers(), ALL)
    model = _judged(written.get("MODEL", ""), "MODEL", values.get("MODEL", usual), number)
    phases = values.get("PHASES", {})
    named = {_judged(written["PHASES"], "PHASES", stage, number): parts for stage, parts in phases.items()}
    stage, side = row.stage(model), values.get("INPUT_SIZE", 0)
    if 0 < side < stage.smallest_side:
        problem = f"{side} is neither 0 nor {stage.smallest_side} or more, which stage {stage.name} needs"
        raise UserError(f"{written['INPUT_SIZE']}: INPUT_SIZE: {problem}")
    return values | {"MODEL": model, "PHASES": named}


def build(values: dict[str, Any]) -> Config:
    """Make a configuration of checked {KEY: value}; what is missing takes its default."""

    def filled(section: Any, prefix: str = "") -> Any:
        names = {f"{prefix}{k.name}".upper(): k.name for k in dataclasses.fields(section)}
        return section(**{names[name]: value for name, value in values.items() if name in names})

    sections = {name: filled(section) for name, section in SHARED.items()}
    row = METHODS[sections["run"].method]
    return Config(**sections, own=filled(row.section, f"{row.name}.") if row.section else None)


def _entries(path: Path) -> Iterable[tuple[str, str, Any]]:
    """Yield (where, key, value) for each line of a YAML mapping; keys under a method's name as `METHOD.KEY`."""
    try:
        root = yaml.compose(path.read_text("utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); give a configuration file") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: is not valid YAML: {reason(error)}") from error
    if root is None:
        return
    yield from _lines(path, root)


def _lines(path: Path, root: yaml.Node, section: str = "") -> Iterable[tuple[str, str, Any]]:
    where = f"{path}, {section}" if section else str(path)
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"{where}: is no list of `KEY: value` lines; compare it with config.yml.example")
    owners = [row.name.upper() for row in METHODS.values() if row.section]
    seen: dict[str, str] = {}
    for name_node, value_node in root.value:
        where = f"{path}, line {name_node.start_mark.line + 1}"
        if not isinstance(name_node, yaml.ScalarNode):
            raise UserError(f"{where}: is no `KEY: value` line; compare it with config.yml.example")
        name = f"{section}.{name_node.value}".lstrip(".")
        if name in seen:
            raise UserError(f"{where}: {name} stands here a second time (first: {seen[name]}); remove one")
        seen[name] = f"line {name_node.start_mark.line + 1}"
        if name in owners:
            if not value_node.tag.endswith(":null"):  # all its keys are commented out
                yield from _lines(path, value_node, name)
            continue
        try:
            yield where, name, _value(name, value_node)
        except (yaml.YAMLError, ValueError) as error:
            raise UserError(f"{where}: {name}: {reason(error)}") from error


def _overrides(overrides: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str, Any]]:
    for where, text in overrides:
        name, sign, value = text.partition("=")
        if not sign:
            raise UserError(f"{where}: has no value; write --set KEY=VALUE")
        try:
            yield where, name.strip(), _value(name.strip(), yaml.compose(value, Loader=yaml.SafeLoader))
        except (yaml.YAMLError, ValueError, RecursionError):
            yield where, name.strip(), value


def _value(name: str, node: yaml.Node | None) -> Any:
    """Construct what YAML says, but take a path or name as it is written: it may look like a date or a number."""
    if is_text(name) and isinstance(node, yaml.ScalarNode):
        return "" if node.tag.endswith(":null") else node.value
    known = known_keys()
    if node is None or name not in known:
        return None
    if known[name].metadata["parser"] is validators.phases:
        return SafeConstructor().construct_document(node)
    items = node.value if isinstance(node, yaml.SequenceNode) else [node]
    if len(items) > LONGEST or any(not isinstance(n, yaml.ScalarNode) or len(n.value) > LONGEST for n in items):
        raise ValueError("holds neither a short value nor a short list of them")
    try:
        return SafeConstructor().construct_document(node)
    except (ArithmeticError, AttributeError, LookupError) as error:  # what it does not catch, such as of `!!int ""`
        raise ValueError(f"{node.value!r} is not what its tag says") from error


def is_text(name: str) -> bool:
    """Return whether the value of a key is a path or name."""
    known = known_keys()
    return name in known and known[name].metadata["parser"] is validators.text


def _judged(where: str, name: str, value: Any, parser: Parser) -> Any:
    try:
        return parser(value)
    except ValueError as error:
        raise UserError(f"{where}: {name}: {value!r} {error}") from None


def _resolved(value: str, places: Iterable[Path]) -> str:
    """Make a relative path that exists in one of the places absolute; leave everything else as it is."""
    if value in ("", IMAGENET, RANDOM):
        return value
    found = (place / expanded(value) for place in places if os.path.lexists(place / expanded(value)))
    return next((str(path.absolute()) for path in found), value)


def dump(config: Config) -> str:
    """Write every key and value as YAML that `load` reads back to the same configuration."""
    lines = []
    for name, value in config.flat().items():
        section, dot, key = name.rpartition(".")
        if dot and f"{section}:" not in lines:
            lines.append(f"{section}:")
        lines.append(f"{'  ' * len(dot)}{key}: {scalar(value)}")
    return "\n".join(lines) + "\n"


def scalar(value: Any) -> str:
    """Write a value as it stands behind its key."""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float):
        return f"{value:g}" if float(f"{value:g}") == value else repr(value)
    plain = list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()


def refuse_fixed(before: Mapping[str, Any], after: Mapping[str, Any], what: str) -> list[str]:
    """Return what changed between two flat configurations, as lines `LR 0.0001 -> 1e-05`.

    Keys that only one of them knows belong to another version and are left out, but those that are fixed were at their
    defaults before they were known. Raises UserError naming those that cannot change while a stage trains.
    """
    known = known_keys()
    usual = {name: k.default for name, k in known.items() if k.metadata["fixed"] and name in after}
    before = usual | dict(before)
    changed = [name for name in before if name in after and name not in NOT_COMPARED and before[name] != after[name]]
    lines = {name: f"{name} {scalar(before[name])} -> {scalar(after[name])}" for name in changed}
    refused = [line for name, line in lines.items() if known[name].metadata["fixed"]]
    if refused:
        what += f" cannot continue with {', '.join(refused)}"
        raise UserError(f"{what}; set what it had, or train in another folder with --init-from")
    return list(lines.values())


def example() -> str:
    """Write config.yml.example: every key, its default, one comment."""
    lines = ["# EdgeConnect: every key, its default, what it means. Old integers and names are both accepted."]
    for section in SHARED.values():
        lines += ["", f"# {str(section.__doc__).splitlines()[0]}", *_explained(section)]
    for row in METHODS.values():
        if row.section:
            title = f"# {str(row.section.__doc__).splitlines()[0]}"
            lines += ["", title, f"{row.name.upper()}:", *(f"  {line}" for line in _explained(row.section))]
    return "\n".join(lines) + "\n"


def _explained(section: Any) -> list[str]:
    """Write each key of a section with its default and its comment."""
    values = section()
    entries = {f"{k.name.upper()}: {scalar(getattr(values, k.name))}": k for k in dataclasses.fields(section)}
    return [f"{entry:<36}# {k.metadata['comment']}" for entry, k in entries.items()]
