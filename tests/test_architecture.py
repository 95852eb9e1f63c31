"""The house rules that a machine can check."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "edgeconnect"
BASE = {
    "errors",
    "types",
    "rng",
    "atomic",
    "digest",
    "images",
    "decoding",
    "progress",
    "plain",
    "threads",
    "provenance",
    "catalogue",
    "validators",
    "config",
    "launch",
    "distributed",
}
LAYERS = {  # what each part of the package may import
    "errors": set(),
    "types": set(),
    "launch": {"errors"},
    "distributed": {"errors", "launch"},
    "rng": {"launch", "distributed"},
    "validators": set(),
    "catalogue": {"validators"},
    "threads": set(),
    "progress": {"launch"},
    "provenance": set(),
    "atomic": {"errors"},
    "digest": {"errors"},
    "config": {"errors", "atomic", "catalogue", "validators"},
    "plain": set(),
    "decoding": {"errors"},
    "images": {"errors", "atomic", "config", "validators", "decoding"},
    "networks": BASE,
    "losses": BASE,
    "metrics": BASE | {"networks"},
    "data": BASE,
    "methods": BASE | {"networks", "losses", "metrics"},
    "device": BASE,
    "engine": BASE | {"device"},
    "checkpoint": BASE,
    "training": BASE | {"engine", "checkpoint"},
    "trained": BASE | {"engine", "methods", "checkpoint"},
    "verification": BASE | {"engine", "methods", "checkpoint", "trained"},
    "predict": BASE | {"data", "device", "engine", "trained", "verification"},
    "run": BASE | {"data", "engine", "methods", "checkpoint", "training"},
}
EVERYTHING = {"__main__", "cli", "commands", "evaluation", "quickstart"}
INNER = {  # a module of these parts imports modules of its part from lines above its own only
    "data": [
        {"path_list"},
        {"edges", "files", "masks", "mosaic", "scenes"},
        {"blending", "markers"},
        {"mask_shapes", "items", "sources", "flist", "jobs"},
        {"dataset", "inputs", "mask_files"},
        {"loader", "scene_files"},
        {"validation"},
    ],
    "evaluation": [
        {"baselines", "curves", "intervals", "manifest", "pairs"},
        {"entries", "fid", "pairing"},
        {"study"},
        {"results"},
        {"report"},
        {"compare", "evaluate"},
    ],
    "checkpoint": [{"published_format", "saves"}, {"folder", "weights"}, {"stage"}],
    "config": [{"presets"}, {"sections"}, {"file"}],
}
MODULES = sorted(SOURCE.rglob("*.py"))


def part(name):
    """Return the part of the package that a module, `data.files`, belongs to; two are parts of their own."""
    first, _, second = name.partition(".")
    own = second.partition(".")[0]
    return own if own in ("catalogue", "validators") else first


def module_of(path):
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts)


def walk_run(tree):
    """Yield the nodes that run: neither what only type checkers see, nor what the catalogue imports to build."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.FunctionDef) and node.name.startswith(("_build_", "_check_", "_look_")):
            continue
        yield node
        yield from walk_run(node)


def imports(tree):
    """Yield the modules of the package that are imported, as `data.files`."""
    for node in walk_run(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "edgeconnect":
            below = node.module.partition(".")[2]
            for alias in node.names:
                if not alias.name.startswith("__"):
                    yield f"{below}.{alias.name}".lstrip(".")
        elif isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("edgeconnect."))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_who_imports_whom(path):
    name = part(module_of(path))
    if name in EVERYTHING or name == "__init__":
        return
    assert {part(imported) for imported in imports(ast.parse(path.read_text()))} <= LAYERS[name] | {name}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_who_imports_whom_inside_a_part(path):
    name = module_of(path)
    if part(name) not in INNER or (path.name == "__init__.py" and path.parent.parent == SOURCE):
        return
    levels = {module: number for number, level in enumerate(INNER[part(name)]) for module in level}
    own = name.split(".")[1]
    for imported in imports(ast.parse(path.read_text())):
        if part(imported) == part(name) and imported.split(".")[1] != own:
            assert levels[imported.split(".")[1]] < levels[own], imported


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
