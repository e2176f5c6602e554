"""The documentation is true: its examples run, its tables are current, its links lead somewhere.

Every page is executed from top to bottom in a directory of its own. What a ```python, ```console
or ```sql block prints must be what the page shows: a ```text block straight after a ```python or
```sql block, the lines below the command in a ```console block. `…` in what is shown stands for
anything, and a line that is only `…` for any number of lines.

`UPDATE_DOCS=1 pytest tests/test_docs.py` writes the shown output and the generated tables anew.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import shlex
import shutil
import struct
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, NamedTuple, Union, get_args, get_origin

import msgspec
import pytest

import eventstore
from eventstore import ANY, Session, SessionStore
from eventstore.consumers.consumer import Consumer
from eventstore.events import catalogue
from eventstore.log import blobs, entry, schema
from eventstore.replaying.recording import Recording

ROOT = Path(__file__).parent.parent
UPDATE = bool(os.environ.get("UPDATE_DOCS"))

#: Pages that other tests hold against the program itself.
ELSEWHERE = frozenset({"docs/cli.md", "docs/cli-json.md"})

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUN = [page for page in PAGES if str(page.relative_to(ROOT)) not in ELSEWHERE]


def _id(page: Path) -> str:
    return str(page.relative_to(ROOT))


every_page = pytest.mark.parametrize("page", PAGES, ids=_id)
every_run_page = pytest.mark.parametrize("page", RUN, ids=_id)


# -- blocks --------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A fenced block: its language, its text, and the lines (from 0) that the text stands on."""

    language: str
    text: str
    first: int
    last: int


def blocks_of(text: str) -> list[Block]:
    found: list[Block] = []
    start: int | None = None
    language = ""
    lines = text.split("\n")
    for number, line in enumerate(lines):
        if start is None:
            if line.startswith("```"):
                start, language = number + 1, line[3:].strip()
        elif line == "```":
            found.append(Block(language, "\n".join(lines[start:number]), start, number))
            start = None
    assert start is None, f"the block that begins in line {start} has no end"
    return found


def shown_after(lines: list[str], blocks: list[Block], index: int) -> Block | None:
    """The ```text block straight after a block, if there is one."""
    if index + 1 == len(blocks):
        return None
    block, after = blocks[index], blocks[index + 1]
    between = lines[block.last + 1 : after.first - 1]
    return after if after.language == "text" and not any(between) else None


def prose_of(text: str) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def matches(shown: str, printed: str) -> bool:
    """Whether the output is what is shown; `…` stands for anything within a line."""
    pattern = ""
    for line in shown.rstrip().split("\n"):
        if line == "…":
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("…")) + "\n"
    text = "".join(line.rstrip() + "\n" for line in printed.rstrip().split("\n"))
    return re.fullmatch(pattern, text) is not None


def test_an_ellipsis_stands_for_anything_within_its_line() -> None:
    assert matches("a … c\n", "a b c\n")
    assert matches("a\n…\nd", "a\nb\nc\nd\n")
    assert not matches("a …", "b\n")
    assert not matches("a\nb", "a\n")


# -- running pages -------------------------------------------------------------------------------


class Page:
    """One page while it runs; with UPDATE_DOCS it collects what the page should show."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.lines = path.read_text(encoding="utf-8").split("\n")
        self.blocks = blocks_of("\n".join(self.lines))
        self.names: dict[str, Any] = {"__name__": "page"}
        self.edits: list[tuple[int, int, str]] = []

    def run(self) -> None:
        runners: dict[str, Callable[[int, Block], None]] = {
            "python": self.python,
            "console": self.console,
            "sql": self.sql,
        }
        try:
            for index, block in enumerate(self.blocks):
                runner = runners.get(block.language)
                if runner is not None:
                    runner(index, block)
        finally:
            for value in self.names.values():
                if isinstance(value, SessionStore):
                    value.close()
        if UPDATE and self.edits:
            for first, last, text in sorted(self.edits, reverse=True):
                self.lines[first:last] = text.rstrip().split("\n")
            self.path.write_text("\n".join(self.lines), encoding="utf-8")

    def expect(self, shown: str, printed: str, first: int, last: int) -> None:
        if matches(shown, printed):
            return
        if UPDATE:
            self.edits.append((first, last, printed))
            return
        pytest.fail(
            f"{_id(self.path)}, line {first + 1}: shown is\n{shown}\nbut it prints\n{printed}",
            pytrace=False,
        )

    def expect_after(self, index: int, printed: str) -> None:
        after = shown_after(self.lines, self.blocks, index)
        if after is not None:
            self.expect(after.text, printed, after.first, after.last)
        elif printed.strip():
            line = self.blocks[index].first
            pytest.fail(f"{_id(self.path)}, line {line}: prints, but shows not\n{printed}")

    def python(self, index: int, block: Block) -> None:
        # Leading newlines make the line numbers of a traceback those of the page.
        code = compile("\n" * block.first + block.text, str(self.path), "exec")
        printed = StringIO()
        with redirect_stdout(printed):
            exec(code, self.names)
        self.expect_after(index, printed.getvalue())

    def console(self, _: int, block: Block) -> None:
        for command, first, shown in commands_in(block):
            printed = shell(command)
            self.expect("\n".join(shown), printed, first + 1, first + 1 + len(shown))

    def sql(self, index: int, block: Block) -> None:
        """Run SQL as somebody's own tool would: another process, Python's own SQLite, read-only."""
        done = subprocess.run(
            [sys.executable, "-c", _READ_SQL, "sessions.db", block.text],
            capture_output=True, encoding="utf-8", check=False, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, f"line {block.first}: {done.stderr}"
        self.expect_after(index, done.stdout)


_READ_SQL = """
import sqlite3, sys
from pathlib import Path
uri = Path(sys.argv[1]).absolute().as_uri() + "?mode=ro"
connection = sqlite3.connect(uri, uri=True)
for sql in sys.argv[2].split(";"):
    if sql.strip():
        cursor = connection.execute(sql)
        print("|".join(column[0] for column in cursor.description))
        for row in cursor:
            print("|".join("" if value is None else str(value) for value in row))
"""


def commands_in(block: Block) -> Iterator[tuple[str, int, list[str]]]:
    """Each command of a ```console block, its line, and the lines shown below it."""
    command, first, shown = "", 0, list[str]()
    for number, line in enumerate(block.text.split("\n"), block.first):
        if line.startswith("$ "):
            if command:
                yield command, first, shown
            command, first, shown = line[2:], number, []
        else:
            shown.append(line)
    assert command, f"the console block in line {block.first} has no command"
    yield command, first, shown


def shell(command: str) -> str:
    """What a shown command prints; `echo $?` after it shows the exit code."""
    command, mark, _ = command.partition("; echo $?")
    words = shlex.split(command)
    programs = {
        "eventstore": [sys.executable, "-m", "eventstore.cli"],
        "python": [sys.executable],
    }
    assert words[0] in programs, f"{command!r} cannot be run by this test"
    here = {"PYTHONPATH": str(ROOT), "TMPDIR": os.getcwd()}
    plain = {"PYTHONIOENCODING": "utf-8", "NO_COLOR": "1", "TZ": "UTC"}
    environment = {**os.environ, **here, **plain}
    done = subprocess.run(
        [*programs[words[0]], *words[1:]],
        capture_output=True, encoding="utf-8", check=False, timeout=120, env=environment,
    )  # fmt: skip
    if not mark:
        assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stderr}"
        return done.stdout
    return f"{done.stdout}{done.returncode}\n"


@every_run_page
def test_the_page_runs_and_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in re.findall("^<!-- needs (.+) -->$", page.read_text(encoding="utf-8"), re.M):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):  # what pages make is not the user's own
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    for script in (ROOT / "docs" / "verify").glob("*.py"):  # which a reader has downloaded
        shutil.copy(script, tmp_path)
    Page(page).run()


@every_run_page
def test_every_shell_command_is_known_to_a_test(page: Path) -> None:
    for block in blocks_of(page.read_text(encoding="utf-8")):
        assert block.language not in ("", "shell", "sh"), f"line {block.first}: no such language"
        if block.language == "bash":
            for line in block.text.split("\n"):
                assert line in README_COMMANDS, f"nobody runs {line!r}"


# -- what the pages cover ------------------------------------------------------------------------


def python_of_every_page() -> str:
    return "\n".join(
        block.text
        for page in RUN
        for block in blocks_of(page.read_text(encoding="utf-8"))
        if block.language == "python"
    )


@pytest.mark.parametrize("cls", [SessionStore, Session, Consumer])
def test_every_public_name_is_used_in_an_example(cls: type) -> None:
    code = python_of_every_page()
    names = [name for name in vars(cls) if not name.startswith("_")]
    assert [name for name in names if not re.search(rf"\.{name}\b", code)] == []


def test_every_public_name_of_the_package_is_on_a_page() -> None:
    text = "\n".join(page.read_text(encoding="utf-8") for page in RUN)
    assert [name for name in eventstore.__all__ if not re.search(rf"\b{name}\b", text)] == []


def test_every_module_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    folders = {
        str(path.parent.relative_to(ROOT))
        for package in ("eventstore", "projections")
        for path in (ROOT / package).rglob("*.py")
    }
    assert [folder for folder in sorted(folders) if f"{folder}/" not in text] == []


def test_every_table_is_explained() -> None:
    text = (ROOT / "docs/tables.md").read_text(encoding="utf-8")
    with SessionStore.open(":memory:") as store, store.log.reader() as connection:
        names = [
            row[0]
            for row in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') "
                "AND name NOT LIKE 'sqlite_%'"
            )
        ]
        for name in names:
            assert f"## `{name}`" in text, name
            section = text.split(f"## `{name}`")[1].split("\n## ")[0]
            columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
            assert [column for column in columns if f"`{column}`" not in section] == [], name


def test_every_page_is_in_the_index() -> None:
    text = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        if page.name != "README.md":
            assert f"({page.relative_to(ROOT / 'docs').as_posix()})" in text, page.name


# -- generated parts -----------------------------------------------------------------------------


def generated(page: str, name: str, text: str) -> None:
    """Hold a generated part of a page, between its two marks, against what it should be."""
    path = ROOT / page
    whole = path.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: generated, do not edit -->\n", f"<!-- {name}: end -->"
    before, rest = whole.split(begin)
    shown, after = rest.split(end)
    if shown != text and UPDATE:
        path.write_text(before + begin + text + end + after, encoding="utf-8")
        return
    assert shown == text, f"{page}: {name} is not current; run with UPDATE_DOCS=1"


def _type_name(annotation: Any) -> str:
    if get_origin(annotation) is Annotated:
        return _type_name(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        parts = [_type_name(part) for part in get_args(annotation) if part is not type(None)]
        return " or ".join(parts)
    if get_origin(annotation) in (list, tuple):
        inner = [part for part in get_args(annotation) if part is not Ellipsis]
        if annotation == catalogue.Run:
            return "[first, length]"
        return f"list of {_type_name(inner[0])}" if inner[0] is not Any else "list"
    names: dict[Any, str] = {
        int: "integer", str: "text", bool: "boolean", Any: "any JSON",
        catalogue.ToolCall: "tool call",
        catalogue.Replaced: "object",
    }  # fmt: skip
    if get_origin(annotation) is dict:
        return "object"
    if inspect.isclass(annotation) and issubclass(annotation, str) and annotation is not str:
        return " / ".join(annotation)  # type: ignore[attr-defined]
    return names[annotation]


def _fields(cls: type, without: frozenset[str] = frozenset()) -> str:
    parts = []
    for field in msgspec.structs.fields(cls):
        if field.name in without:
            continue
        needed = "" if field.required else "?"
        parts.append(f"`{field.name}`{needed} {_type_name(field.type)}")
    return ", ".join(parts)


def events_table() -> str:
    """The table of every event type, from the catalogue."""
    common = frozenset({"occurred_at", "content"})
    rows = ["| type | facts | content | commutes |", "|---|---|---|---|"]
    for cls in catalogue.CATALOGUE:
        content = "" if cls.content_type is None else f"{cls.content_type.__name__}"
        facts = _fields(cls, common)
        commutes = "yes" if cls.commutes else ""
        rows.append(f"| `{cls.type}` v{cls.schema} | {facts} | {content} | {commutes} |")
    return "\n".join(rows) + "\n"


def contents_table() -> str:
    """The table of every kind of content, from the catalogue."""
    kinds = {cls.content_type for cls in catalogue.CATALOGUE if cls.content_type is not None}
    rows = ["| content | fields |", "|---|---|"]
    for cls in (*sorted(kinds, key=lambda one: one.__name__), catalogue.ToolCall):
        name = "tool call" if cls is catalogue.ToolCall else cls.__name__
        rows.append(f"| {name} | {_fields(cls, frozenset({'record'}))} |")
    return "\n".join(rows) + "\n"


def reference_of(cls: type) -> str:
    """Every public name of a class with its signature and the first line of its docstring."""
    rows = ["| name | what it does |", "|---|---|"]
    for name, member in vars(cls).items():
        if name.startswith("_") or inspect.ismemberdescriptor(member):
            continue
        line = (inspect.getdoc(member) or "").split("\n")[0].replace("``", "`")
        if isinstance(member, property):
            shown = name
        else:
            call = getattr(member, "__wrapped__", None) or getattr(member, "__func__", member)
            shown = f"{name}({_parameters(call)})"
        rows.append(f"| `{shown}` | {line.replace('|', chr(92) + '|')} |")
    return "\n".join(rows) + "\n"


def _parameters(call: Callable[..., Any]) -> str:
    parts, starred = [], False
    for name, parameter in inspect.signature(call).parameters.items():
        if name in ("self", "cls"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            parts.append(f"**{name}")
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            parts.append("*")
            starred = True
        if parameter.default is parameter.empty:
            parts.append(name)
        elif parameter.default is ANY:
            parts.append(f"{name}=ANY")
        elif isinstance(parameter.default, int | str | bool | tuple | type(None)):
            default = parameter.default
            plain = str(default) if isinstance(default, str) else default
            parts.append(f"{name}={plain!r}")
        else:
            parts.append(f"{name}=…")
    return ", ".join(parts)


def test_the_table_of_events_is_current() -> None:
    generated("docs/file-format.md", "events", events_table())


def test_the_table_of_contents_is_current() -> None:
    generated("docs/file-format.md", "contents", contents_table())


@pytest.mark.parametrize("cls", [SessionStore, Session, Consumer, Recording])
def test_the_reference_is_current(cls: type) -> None:
    generated("docs/api.md", cls.__name__, reference_of(cls))


# -- the file format -----------------------------------------------------------------------------


def worked_example() -> dict[str, Any]:
    text = (ROOT / "docs/file-format.md").read_text(encoding="utf-8")
    [block] = [block for block in blocks_of(text) if block.language == "json example"]
    example: dict[str, Any] = json.loads(block.text)
    return example


def layout_table() -> list[tuple[int, int, str]]:
    """``(offset, size, field)`` of the fixed part of an entry, as the page says."""
    text = (ROOT / "docs/file-format.md").read_text(encoding="utf-8")
    section = text.split("### Layout")[1].split("\n### ")[0]
    rows = re.findall(r"^\| (\d+) \| (\d+) \| ([^|]+?) \|", section, flags=re.MULTILINE)
    return [(int(offset), int(size), field) for offset, size, field in rows]


def test_the_offsets_of_an_entry_add_up() -> None:
    offset = 0
    for at, size, field in layout_table():
        assert at == offset, field
        offset += size
    assert offset == len(entry.ENTRY_LABEL) + struct.calcsize(">QQQ16s32s32sBH16sH")


def test_the_worked_example_is_what_the_format_says() -> None:
    """Recomputed with the standard library alone, by the page's table."""
    example = worked_example()
    values = {name: bytes.fromhex(value) for name, value in example["fields"].items()}
    data = b""
    for offset, size, field in layout_table():
        assert len(data) == offset
        assert len(values[field]) == size, field
        data += values[field]
    name, facts = example["type"].encode("ascii"), example["facts"].encode()
    assert int.from_bytes(data[-2:], "big") == len(name)
    data += name + len(facts).to_bytes(4, "big") + facts
    assert data.hex() == example["entry"]
    assert hashlib.sha256(b"\0" + data).hexdigest() == example["leaf"]
    body = hashlib.sha256(
        b"agent-eventstore/content/v1\0" + bytes.fromhex(example["salt"]) + example["body"].encode()
    )
    assert body.hexdigest() == values["commitment"].hex()


def test_the_worked_example_is_what_the_code_computes() -> None:
    example = worked_example()
    values = {name: bytes.fromhex(value) for name, value in example["fields"].items()}
    leaf = entry.leaf_of(
        int.from_bytes(values["position"], "big"),
        int.from_bytes(values["version"], "big"),
        int.from_bytes(values["recorded_at"], "big"),
        values["stream uid"],
        values["previous leaf"],
        entry.commitment_of(bytes.fromhex(example["salt"]), example["body"].encode()),
        values["actor"][0],
        int.from_bytes(values["schema"], "big"),
        example["idempotency_key"],
        example["type"].encode(),
        example["facts"].encode(),
    )
    assert leaf.hex() == example["leaf"]


def test_the_numbers_of_the_format_are_those_of_the_code() -> None:
    text = (ROOT / "docs/file-format.md").read_text(encoding="utf-8")
    assert f"{schema.APPLICATION_ID:#x}" in text
    assert f"`user_version` | {len(schema.migrations())} |" in text
    assert f"{blobs.BLOB_BYTES:,}" in text


# -- links ---------------------------------------------------------------------------------------


def anchors_of(path: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose_of(path.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = sum(1 for one in found if one == slug or re.fullmatch(rf"{slug}-\d+", one))
        found.add(slug if not number else f"{slug}-{number}")
    return found


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and anchor not in anchors_of(file)):
            broken.append(target)
    assert broken == []


@every_page
def test_a_page_says_what_it_promises_and_ends_in_a_newline(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.endswith("\n")
    assert text.startswith("# ")
    assert re.match(r"# .*\n\n\S", text), "a page begins with a paragraph below its title"


@every_page
def test_code_that_a_page_names_exists(page: Path) -> None:
    """Paths in backquotes that look like files of this project are there."""
    prose = prose_of(page.read_text(encoding="utf-8"))
    paths = re.findall(r"`((?:eventstore|projections|tests|docs|\.ci)/[\w./-]*)`", prose)
    assert [path for path in paths if not (ROOT / path).exists()] == []


# -- the README's commands -----------------------------------------------------------------------


def readme_commands() -> list[str]:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return [
        line
        for block in blocks_of(text)
        if block.language == "bash"
        for line in block.text.split("\n")
    ]


README_COMMANDS = readme_commands()


def test_the_readme_has_two_commands_that_do_everything() -> None:
    demo, tests = README_COMMANDS
    assert demo.startswith("python3 -m venv .venv && .venv/bin/pip install -q . && ")
    assert tests.startswith("python3 -m venv .venv && .venv/bin/pip install -q -e '.[")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = re.search(r"\.\[(\w+)\]", tests)
    assert extra is not None
    assert extra[1] in project["optional-dependencies"]
    program = re.search(r"\.venv/bin/(\w+) demo", demo)
    assert program is not None
    assert program[1] in project["scripts"]
    assert tests in (ROOT / ".ci/run").read_text(encoding="utf-8")


def _only_when_asked(request: pytest.FixtureRequest) -> None:
    if "slow" not in str(request.config.getoption("-m")):
        pytest.skip("installs packages; run with -m slow")


@pytest.mark.slow
@pytest.mark.parametrize("number", [0, 1])
def test_a_readme_command_works_in_a_fresh_copy(
    number: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The test command stops after collecting: it would run this very test otherwise."""
    _only_when_asked(request)
    copy = tmp_path / "copy"
    leave = shutil.ignore_patterns(".git", ".venv", "*cache*", "__pycache__", "*.db*")
    shutil.copytree(ROOT, copy, ignore=leave)
    command = README_COMMANDS[number]
    if number == 1:
        command += " --collect-only"
    # The copy has nothing of this environment, nor the originals that may be required here.
    dropped = {"PYTHONPATH", "VIRTUAL_ENV", "PYTHONHOME", "EVENTSTORE_ORIGINALS"}
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    done = subprocess.run(
        ["bash", "-c", command], cwd=copy, env=environment,
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
