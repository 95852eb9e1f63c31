"""The house rules that a machine can check."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "edgeconnect"
BASE = {"errors", "types", "rng", "atomic", "digest", "images", "progress", "config"}
LAYERS = {  # what each part of the package may import; inside a part see INNER
    "errors": set(),
    "types": set(),
    "rng": set(),
    "atomic": {"errors"},
    "digest": {"errors"},
    "progress": set(),
    "images": {"errors", "atomic", "config"},
    "config": {"errors", "atomic"},
    "networks": BASE,
    "losses": BASE,
    "metrics": BASE | {"networks"},
    "data": BASE,
    "methods": BASE | {"networks", "losses", "metrics"},
    "engine": BASE,
    "checkpoint": BASE,
    "training": BASE | {"engine", "checkpoint"},
    "predict": BASE | {"data", "engine"},
    "run": BASE | {"data", "engine", "checkpoint", "methods", "training", "predict", "networks"},
}
EVERYTHING = {"__main__", "cli", "commands", "evaluation", "quickstart"}
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
    assert set(imports(ast.parse(path.read_text()))) <= LAYERS[name] | {name}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_functions_fit_a_screen_and_modules_a_sitting(path):
    text = path.read_text()
    assert text.count("\n") <= (400 if path.name == "scenes.py" else 300)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 40, node.name


PLAIN_NUMBERS = {"real", "side"}  # arguments of float(), int(), bool() that are no tensors


def test_mathematics_never_reads_the_device():
    for path in [SOURCE / "losses.py", *(SOURCE / "networks").glob("*.py"), *(SOURCE / "methods").glob("*.py")]:
        check_no_reads(path)


def check_no_reads(path):
    """Find the names of reads; tests/test_known_failures.py runs the steps where every read fails."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("item", "cpu", "tolist", "numpy", "nonzero"), path
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id != "print", path
            assert node.func.id not in ("float", "int", "bool") or ast.unparse(node.args[0]) in PLAIN_NUMBERS, path
