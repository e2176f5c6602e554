"""How the code is laid out: who imports whom, and how long things are."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from engine_support import BUDGET

import eventstore
import projections

ROOT = Path(__file__).parent.parent
FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500
#: The catalogue is a list of classes, which reads better in one piece.
LONG_MODULES = {"eventstore.events.catalogue"}


def modules() -> list[str]:
    found = ["eventstore", "projections"]
    for package in (eventstore, projections):
        prefix = f"{package.__name__}."
        found += [info.name for info in pkgutil.walk_packages(package.__path__, prefix)]
    return [name for name in found if not name.endswith("__main__")]


def source_of(module: str) -> Path:
    path = ROOT / Path(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def imports_of(module: str) -> Iterator[str]:
    """The modules that a module imports when it is loaded or run, type checking aside."""
    names = set(modules())
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in names else str(node.module)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(package + ".") for package in packages)


GROUND = ("eventstore.errors", "eventstore.events", "eventstore.codec", "eventstore.log")

#: A package, and what of the project it may import.
LAYERS = {
    "eventstore.errors": (),
    "eventstore.codec": ("eventstore.errors",),
    "eventstore.events": ("eventstore.errors", "eventstore.codec", "eventstore.events"),
    "eventstore.log": GROUND,
    "eventstore.session": (*GROUND, "eventstore.session"),
    "eventstore.snapshots": (*GROUND, "eventstore.session", "eventstore.snapshots"),
    "eventstore.claims": (*GROUND, "eventstore.claims"),
    "eventstore.merkle": ("eventstore.errors", "eventstore.merkle"),
    "projections": (*GROUND, "eventstore.merkle", "projections"),
    "eventstore.vacuum": (*GROUND, "eventstore.vacuum"),
    "eventstore.traces": (
        *GROUND, "eventstore.traces", "eventstore.vacuum", "eventstore.claims", "projections",
    ),
    "eventstore.testing": (*GROUND, "eventstore.testing", "eventstore.replaying"),
}  # fmt: skip


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below(layer: str) -> None:
    for module in modules():
        if within(module, (layer,)):
            ours = [n for n in imports_of(module) if within(n, ("eventstore", "projections"))]
            wrong = [name for name in ours if not within(name, LAYERS[layer])]
            assert not wrong, f"{module} imports {wrong}"


def test_the_rules_are_pure() -> None:
    impure = ("apsw", "os", "io", "time", "datetime", "random", "secrets", "threading", "pathlib",
              "subprocess", "socket", "logging", "sqlite3")  # fmt: skip
    for module in modules():
        if within(
            module,
            ("eventstore.session", "eventstore.events", "eventstore.codec", "eventstore.merkle"),
        ):
            wrong = [name for name in imports_of(module) if within(name, impure)]
            assert not wrong, f"{module} imports {wrong}"


def test_nothing_uses_another_sqlite() -> None:
    """Adapters may name the exceptions that callers of the original store catch, nothing else."""
    for module in modules():
        for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                assert all(alias.name != "sqlite3" for alias in node.names), module
            elif isinstance(node, ast.ImportFrom) and node.module == "sqlite3":
                assert within(module, ("eventstore.adapters",)), module
                assert all(alias.name.endswith("Error") for alias in node.names), module


def test_a_projection_never_writes_the_log() -> None:
    tables = ("events", "contents", "streams", "blobs", "blob_references")
    for module in modules():
        if within(module, ("projections",)):
            text = source_of(module).read_text(encoding="utf-8").lower()
            for table in tables:
                for verb in ("insert into", "insert or replace into", "update", "delete from"):
                    assert f"{verb} {table} " not in text, module


def test_functions_and_modules_are_short() -> None:
    for module in modules():
        text = source_of(module).read_text(encoding="utf-8")
        if module not in LONG_MODULES:
            assert text.count("\n") <= MODULE_LINES_MAX, module
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= FUNCTION_LINES_MAX, f"{module}.{node.name} has {lines} lines"


def test_every_public_thing_has_a_docstring() -> None:
    for module in modules():
        tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), module
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{module}.{node.name}"


def test_every_public_name_exists() -> None:
    for name in eventstore.__all__:
        assert getattr(eventstore, name) is not None
    with pytest.raises(AttributeError):
        _ = eventstore.no_such_name


#: Imports each module in a child of its own, in which nothing of the project is loaded yet.
IMPORT_EACH = """
import asyncio, os, sys, traceback
import apsw, click, msgspec

failed = False
for module in sys.stdin.read().split():
    child = os.fork()
    if child == 0:
        try:
            __import__(module)
        except BaseException:
            print(f"import {module}: {traceback.format_exc()}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    failed |= os.waitpid(child, 0)[1] != 0
sys.exit(failed)
"""


def import_each_first(names: list[str]) -> tuple[int, str]:
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", IMPORT_EACH], input="\n".join(names),
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    return run.returncode, run.stderr


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork()")


@needs_fork
def test_every_package_can_be_imported_first() -> None:
    packages = [name for name in modules() if hasattr(importlib.import_module(name), "__path__")]
    assert len(packages) > 30
    assert import_each_first(packages) == (0, "")


@needs_fork
@pytest.mark.slow
def test_every_module_can_be_imported_first() -> None:
    """With a small budget a part of them, spread over all packages."""
    every = max(1, round(0.3 / BUDGET))
    assert import_each_first(modules()[::every]) == (0, "")


def test_the_ground_does_not_load_the_store() -> None:
    script = (
        "import sys, eventstore.log.sqlite, projections.builtin\n"
        "loaded = [m for m in sys.modules if m.startswith(('eventstore.store', "
        "'eventstore.session.', 'eventstore.snapshots', 'eventstore.cli', 'eventstore.import'))]\n"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", script], check=True, cwd=ROOT)


def test_every_module_really_loads() -> None:
    for module in modules():
        importlib.import_module(module)
