"""What docs/threat-model.md promises, promise by promise."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli_support import HOSTILE, db, run

from eventstore import Message, SessionStore, ToolCall
from eventstore.backup import backup
from eventstore.checkpoints import side_file
from eventstore.checkpoints.anchors import FileAnchor
from eventstore.checkpoints.git_anchor import GitAnchor
from eventstore.cli import main
from eventstore.doctor import examine
from eventstore.doctor.fixing import SUFFIX
from eventstore.errors import AnchorError, EventStoreError
from eventstore.exports.names import file_name
from eventstore.exports.runner import export

__all__ = ["db"]

ROOT = Path(__file__).parent.parent
SOURCES = sorted((*ROOT.glob("eventstore/**/*.py"), *ROOT.glob("projections/**/*.py"),
                  ROOT / "docs/verify/verify_bundle.py"))  # fmt: skip

#: Raw on a terminal, these move its cursor, retitle it, ring, or reorder what is read.
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")

posix = pytest.mark.skipif(os.name != "posix", reason="modes and links of POSIX")


# -- the source ------------------------------------------------------------------------------------

#: What runs a text as a program, or makes objects of bytes.
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "marshal", "shelve", "yaml", "code", "pty"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen",
                   "yaml.load", "subprocess.getoutput", "subprocess.getstatusoutput"}  # fmt: skip


def forbidden(source: str) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(source)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [str(node.module)]
        found += [name for name in names if name.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            shell = any(one.arg == "shell" for one in node.keywords)
            if name in FORBIDDEN_CALLS or shell or name.startswith(("os.spawn", "os.exec")):
                found.append(name)
    return found


@pytest.mark.parametrize("source", [
    "import pickle", "from marshal import loads", "import yaml.constructor", "eval(x)",
    "os.system('ls')", "subprocess.run('ls', shell=True)", "subprocess.Popen(x, shell=flag)",
    "os.execv(a, b)",
])  # fmt: skip
def test_what_runs_text_as_a_program_would_be_seen(source: str) -> None:
    assert forbidden(source)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_runs_text_as_a_program(path: Path) -> None:
    assert forbidden(path.read_text(encoding="utf-8")) == []


#: Functions that are given SQL, and in which place.
TAKE_SQL = {"execute": 0, "executemany": 0, "rows_of": 1}

#: Where SQL is put together of something else than constants of a module, and of what: names of the
#: project's own tables, columns and settings, names that `quoted` quotes, and lists of "?".
OWNERS = {
    "eventstore/adapters/little_loops/connection.py": {"sql"},
}


def is_constant(node: ast.expr) -> bool:
    """A literal, a constant of a module or a class by its name, or made of such alone."""
    match node:
        case ast.Constant():
            return True
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return bool(re.fullmatch(r"_{0,2}[A-Z][A-Z0-9_]*", name))
        case ast.JoinedStr(values=values):
            return all(map(is_constant, values))
        case ast.FormattedValue(value=value):
            return is_constant(value) or is_quoted(value)
        case ast.BinOp(left=left, right=right):
            return is_constant(left) and is_constant(right)
        case ast.IfExp(body=body, orelse=other):
            return is_constant(body) and is_constant(other)
        case ast.Subscript(value=value):  # one of a table of statements
            return is_constant(value)
        case _:
            return False


def is_quoted(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "quoted"


def made_sql(source: str) -> Iterator[tuple[str, str]]:
    """Each expression that is given as SQL and is no constant, with its function's name."""

    def visit(node: ast.AST, inside: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = node.name
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            place = TAKE_SQL.get(name)
            if place is not None and len(node.args) > place and not is_constant(node.args[place]):
                yield inside, ast.unparse(node.args[place])
        for child in ast.iter_child_nodes(node):
            yield from visit(child, inside)

    yield from visit(ast.parse(source), "")
