"""The house rules that a machine can check."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "edgeconnect"
SPINE = {
    "errors": set(),
    "types": set(),
    "parse": set(),
    "storage": {"errors"},
    "published": {"errors"},
    "settings": {"parse"},
    "config": {"errors", "parse", "settings", "storage"},
    "sheets": {"types", "storage"},
    "networks": {"errors", "types", "settings"},
    "losses": {"errors", "types", "settings"},
    "pretrained": {"errors"},
    "vgg": {"errors", "types", "settings", "pretrained"},
    "metrics": {"errors", "types", "settings", "pretrained"},
    "data": {"errors", "types", "settings", "parse", "storage", "sheets"},
    "methods": {"errors", "types", "settings", "networks", "losses", "vgg", "metrics"},
    "engine": {"errors", "types"},
    "ema": {"types"},
    "saves": {"errors", "storage"},
    "signals": set(),
    "best": {"settings"},
    "lock": {"errors"},
    "randomness": set(),
    "checkpoint": {
        *("errors", "types", "settings", "config", "storage", "published", "saves", "weights", "randomness")
    },
    "weights": {"errors", "types", "published", "saves"},
    "accidents": {"types", "sheets", "storage"},
    "curves": {"errors", "settings", "storage"},
    "logs": {"errors", "types", "storage", "sheets"},
    "trainer": {
        *("errors", "types", "settings", "engine", "ema", "checkpoint", "weights", "logs", "sheets"),
        *("accidents", "best", "randomness", "signals"),
    },
    "predict": {"errors", "types", "settings", "data", "engine", "storage", "sheets"},
}
EVERYTHING = {"run", "cli", "commands", "evaluation", "showcase"}
MODULES = sorted(SOURCE.rglob("*.py"))


def part(path):
    return path.relative_to(SOURCE).with_suffix("").parts[0]


def imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("edgeconnect"):
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            yield from (name for name in names if not name.startswith("__"))
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("edgeconnect."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_who_imports_whom(path):
    name = part(path)
    if name in EVERYTHING or (path.parent == SOURCE and name == "__init__"):
        return
    assert set(imports(ast.parse(path.read_text()))) <= SPINE[name] | {name}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_fit_a_screen_and_modules_a_sitting(path):
    text = path.read_text()
    assert text.count("\n") <= (400 if path.name == "scenes.py" else 300)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, node.name


def test_mathematics_never_reads_the_device():
    for name in ("networks", "losses", "vgg"):
        check_no_reads(SOURCE / f"{name}.py")
    for path in (SOURCE / "methods").glob("*.py"):
        check_no_reads(path)


def check_no_reads(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("item", "cpu"), path
        if isinstance(node, ast.Name):
            assert node.id != "print", path
