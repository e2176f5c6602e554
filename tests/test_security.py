"""What docs/threat-model.md promises, promise by promise."""

from __future__ import annotations

import ast
import json
import logging
import os
import re
import subprocess
import warnings
from pathlib import Path
from typing import Any

import apsw
import pytest
from cli_support import HOSTILE, db, run

from eventstore import Message, SessionStore, ToolCall
from eventstore.backup import backup
from eventstore.checkpoints import side_file
from eventstore.checkpoints.git_anchor import GitAnchor
from eventstore.cli import main
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


def is_sql_of_a_projection(node: ast.expr) -> bool:
    """What a projection made of a constant and its tables' names: `made_sql` looks at that too."""
    return isinstance(node, ast.Attribute) and ast.unparse(node).startswith("self._")


def made_sql(source: str) -> set[str]:
    """The expressions that are given as SQL, or of which it is made, and are no constants."""
    found: set[str] = set()

    def given(node: ast.expr, function: ast.AST) -> None:
        if is_constant(node) or isinstance(node, ast.List | ast.ListComp):  # commands of a store
            return
        if not is_sql_of_a_projection(node):
            found.add(ast.unparse(node))
        if isinstance(node, ast.Name):
            for one in ast.walk(function):
                if isinstance(one, ast.Assign | ast.AugAssign) and not is_constant(one.value):
                    targets = one.targets if isinstance(one, ast.Assign) else [one.target]
                    if node.id in map(ast.unparse, targets):
                        found.add(ast.unparse(one))

    def visit(node: ast.AST, function: ast.AST) -> None:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            function = node
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).split(".")[-1]
            place = TAKE_SQL.get(name)
            if place is not None and len(node.args) > place:
                given(node.args[place], function)
            if name == "sql" and node.args and not is_constant(node.args[0]):
                found.add(ast.unparse(node))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    tree = ast.parse(source)
    visit(tree, tree)
    return found


#: What is put together of more than constants, looked at one by one: of names of the project's own
#: tables, columns and settings, of names that `quoted` quotes, and of conditions made of these.
MADE_SQL = ROOT / "tests" / "golden" / "made_sql.json"


def test_sql_is_made_of_nothing_that_came_from_outside() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): sorted(made)
        for path in SOURCES
        if (made := made_sql(path.read_text(encoding="utf-8")))
    }
    assert found == json.loads(MADE_SQL.read_text(encoding="utf-8")), (
        "look whether anything of it can come from outside, then put it into tests/golden"
    )


@pytest.mark.parametrize("source", [
    "c.execute(f'SELECT {x}')", "c.execute('SELECT ' + x)", "c.executemany('S %s' % x, y)",
    "rows_of(c, 'SELECT {}'.format(x))", "def f(x):\n sql = 'S ' + x\n c.execute(sql)",
    "c.execute(_SELECT.format(x))", "self._any = self.sql(f'S {x}')",
    "def f(x):\n sql = _S\n sql += x\n c.execute(sql)",
])  # fmt: skip
def test_sql_that_is_made_of_input_would_be_seen(source: str) -> None:
    assert made_sql(source)


def with_table(path: Path, name: str, kind: str) -> None:
    """A store with a table of this name."""
    with SessionStore.open(path) as store:
        store.create("a").append("user", "hello")
    connection = apsw.Connection(str(path))
    quoted = name.replace('"', '""')
    connection.execute(f'CREATE {kind} "{quoted}" {"USING fts5(a)" if "V" in kind else "(a)"}')
    connection.close()


def test_a_table_name_in_a_foreign_file_is_no_sql(tmp_path: Path) -> None:
    """`doctor --fix` and `verify` run over names that whoever made the file chose."""
    victim, one, two = tmp_path / "victim.db", tmp_path / "1.db", tmp_path / "2.db"
    apsw.Connection(str(victim)).execute("CREATE TABLE t (a)")
    attack = f"ATTACH '{victim}' AS o; DROP TABLE o.t; --"
    with_table(one, f"messages{SUFFIX}; {attack}{SUFFIX}", "TABLE")
    with_table(two, f'events" LIMIT 1; {attack}', "VIRTUAL TABLE")
    for path in (one, two):
        for words in (["doctor", "--fix"], ["verify"], ["check"], ["rebuild"], ["vacuum"]):
            run(*words, "--db", path)
    assert apsw.Connection(str(victim)).execute("SELECT count(*) FROM t").get == 0


# -- the terminal ----------------------------------------------------------------------------------


def hostile_store(path: Path) -> None:
    """A store in which every text that anybody can give is hostile."""
    with SessionStore.open(path) as store:
        session = store.create(
            "target", title=HOSTILE, prompt=HOSTILE, model=HOSTILE, provider=HOSTILE,
            source=HOSTILE, metadata={HOSTILE: HOSTILE}, configuration={HOSTILE: HOSTILE},
        )  # fmt: skip
        call = ToolCall(id=HOSTILE, name=HOSTILE, arguments={HOSTILE: HOSTILE})
        broken = ToolCall(id="2", name=HOSTILE, arguments=HOSTILE)
        session.append_many([
            Message(role="user", content=HOSTILE, name=HOSTILE, metadata={HOSTILE: HOSTILE}),
            Message(role="assistant", content=HOSTILE, tool_calls=(call, broken),
                    reasoning=HOSTILE),
            Message(role="tool", content=HOSTILE, call_id=HOSTILE, tool_name=HOSTILE),
            Message(role="assistant", content=[{"type": HOSTILE, "text": HOSTILE}]),
        ])  # fmt: skip
        session.record_usage(HOSTILE, input=1, output=1, model=HOSTILE, currency=HOSTILE)
        session.compact(1, 3, HOSTILE, trigger=HOSTILE)
        session.append("user", HOSTILE + " sk-ant-api03-" + "aB3" * 31 + "-AA")
        fork = session.fork("fork", at=4)
        fork.append("user", HOSTILE + " otherwise")
        session.spawn("child").append("user", HOSTILE)
        store.create("ended").end(HOSTILE)
        store.consumer("reader").commit(next(store.events()))


#: Whatever can be called, with T for a hostile text, in the order in which it is.
COMMANDS = (
    "sessions --all", "show target", "show target --source", "search owned", "search T",
    "resume target", "context target", "context target --format openai",
    "context target --format anthropic", "diff target fork", "diff target --from 1", "log",
    "log --content", "replay target", "fixture target -o fixtures", "tree", "tree target",
    "consumers", "stats", "stats --by session", "stats --by model", "stats --by lineage",
    "check", "verify", "doctor", "doctor --fix", "rebuild", "proof 1", "proof --from 2",
    "checkpoint --unsigned", "checkpoint --list", "checkpoint --unsigned --anchor file:T",
    "checkpoint --unsigned --anchor git:T", "checkpoint --anchor T", "checkpoint --verify T",
    "checkpoint --vkey T", "keys list", "keys new T", "keys show --key T", "keys T",
    "export target --format markdown -o -", "export target --format html -o page.html",
    "export T --format markdown -o -", "export target --format T", "verify-bundle T",
    "verify-bundle . --key T", "backup T", "backup ok.db", "salvage new.db",
    "salvage T new2.db", "hold place target T", "hold place target held --by T --reason T",
    "hold place target held --by desk --reason court", "hold list", "hold release target T",
    "erase target --yes", "hold release target held", "retain --policy T",
    "retain --policy policies.toml --dry-run", "erase target --seq 1 --dry-run",
    "erase target --text T --dry-run", "erase target --by T --yes", "erase T --yes",
    "erase fork --yes --by desk", "redact --all --dry-run", "redact --all --yes --by T",
    "redact --detector T", "redact --all --yes --by desk", "erasures", "fork target --at T",
    "fork target --at 3 --id T", "fork target --at 3", "show T", "show target --at T",
    "log --since T", "import T", "import hostile", "import . --format T", "sessions --source T",
    "consumers --reset T", "consumers --drop T", "rebuild T", "check T", "restore T",
    "restore sessions.db.backup --erasures-from T", "vacuum", "vacuum --seconds T", "T", "--T",
    "show --T", "demo --db T", "sessions --db T",
)  # fmt: skip


def called(command: str) -> list[str]:
    return [word.replace("T", HOSTILE) if re.match(r"(-+|[a-z+]+:)?T", word) else word
            for word in command.split()]  # fmt: skip


def test_no_command_lets_a_hostile_text_reach_the_terminal(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also as an argument, a file's name and in an error. Data on stdout is what was asked for."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(db.parent / "config"))
    monkeypatch.setenv("XDG_STATE_HOME", str(db.parent / "state"))
    db.unlink()
    hostile_store(db)
    Path("policies.toml").write_text(
        '[[policy]]\nname = "p"\ndo = "erase"\nolder_than = "1min"\nstatus = "ended"\n'
    )
    folder = Path("hostile")
    folder.mkdir()
    for name, data in (("\x1b]0;owned\x07.jsonl", b"nothing"), (f"{HOSTILE[:20]}.db", b"x" * 99)):
        (folder / name.replace("/", "")).write_bytes(data)
    record = {"type": "user", "sessionId": HOSTILE, "message": {"role": "user", "content": HOSTILE}}
    (folder / "a.jsonl").write_text(json.dumps(record) + "\n")
    raw = []
    for command in COMMANDS:
        words = called(command)
        done = run(*words) if "--db" in words else run(*words, "--db", db)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise AssertionError(f"{command}: {done.exception!r}") from done.exception
        for stream, data in (("stdout", done.stdout_bytes), ("stderr", done.stderr_bytes)):
            found = RAW.findall(data.decode("utf-8", "surrogateescape"))
            if found:
                raw.append((command, stream, sorted(set(found)), data[-300:]))
    assert not raw, "\n".join(map(repr, raw))
    assert {command.split()[0] for command in COMMANDS} >= set(main.commands)


def test_the_names_in_a_foreign_file_do_not_reach_the_terminal_either(db: Path) -> None:
    """What no command would have written: ids, types, sources and tables of a file made by hand."""
    connection = apsw.Connection(str(db))
    for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        connection.execute(f'DROP TRIGGER "{name}"')
    connection.execute("UPDATE streams SET session_id = session_id || ?", (HOSTILE,))
    connection.execute("UPDATE events SET type = type || ? WHERE position = 9", (HOSTILE,))
    connection.execute("UPDATE sessions SET model = ?, source = ?", (HOSTILE, HOSTILE))
    connection.execute("UPDATE consumers SET name = name || ?", (HOSTILE,))
    connection.execute(f'CREATE TABLE "{HOSTILE}" (a)')
    connection.close()
    raw = []
    for command in COMMANDS:
        words = command.split()
        if "T" in command or words[0] in ("export", "demo", "keys", "erase", "redact"):
            continue
        named = [word.replace("target", "chat-1") for word in words]
        done = run(*named, "--db", db)
        shown = done.stdout + done.stderr
        if RAW.search(shown):
            raw.append((command, shown[-300:]))
        assert done.exception is None or isinstance(done.exception, SystemExit), command
    assert not raw, "\n".join(map(repr, raw))


# -- files -----------------------------------------------------------------------------------------


def modes_under(folder: Path) -> dict[str, int]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if ".git/" not in f"{path.relative_to(folder)}/":
            found[path.relative_to(folder).as_posix()] = path.lstat().st_mode & 0o777
    return found


@posix
def test_whatever_is_created_is_readable_by_its_owner_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="the extra [sign] is not installed")
    for name in ("CONFIG", "STATE", "DATA"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("EVENTSTORE_DB", "EVENTSTORE_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    before = os.umask(0o000)
    try:
        with SessionStore.open(tmp_path / "s.db") as store:
            store.create("../../x").append("user", "hello")
            store.create("plain").append("user", "hello")
            store.session("plain").append("assistant", "hi")
            store.search("hello")
            beside = modes_under(tmp_path)
            assert {"s.db", "s.db-wal", "s.db-shm"} <= set(beside)
            for number, (format_, one) in enumerate((
                ("events-jsonl", None), ("markdown", None), ("html", None), ("bundle", None),
                ("bundle-tar", None), ("markdown", [store.session("plain")]),
            )):  # fmt: skip
                export(store, format_, tmp_path / f"export-{number}", sessions=one)
        for words in (
            ["keys", "new", "example.com/log"], ["checkpoint", "--db", "s.db"],
            ["checkpoint", "--db", "s.db", "--anchor", "file:anchored"],
            ["backup", "s.db", "backup.db"], ["salvage", "backup.db", "salvaged.db"],
            ["restore", "backup.db", "s.db"], ["fixture", "plain", "-o", "f", "--db", "s.db"],
            ["demo"],
        ):  # fmt: skip
            done = run(*words)
            assert done.exit_code in (0, 1), (words, done.output)
    finally:
        os.umask(before)
    modes = modes_under(tmp_path)
    own = [name for name in modes if name not in ("config", "state", "data", "f")]
    for name in ("salvaged.db", "backup.db", "anchored", "f/replay_plain.json", "s.db.replaced-1",
                 "config/agent-eventstore/keys"):  # fmt: skip
        assert name in modes
    assert any(name.startswith("state/agent-eventstore/checkpoints/") for name in modes)
    readable = {name: oct(modes[name]) for name in own if modes[name] & 0o077 and not (
        (tmp_path / name).is_dir() and name in ("config/agent-eventstore", "state/agent-eventstore",
                                                "data/agent-eventstore"))}  # fmt: skip
    assert readable == {}
    assert {name for name in beside if beside[name] & 0o077} == set()


@posix
def test_a_link_in_the_way_is_not_written_through(tmp_path: Path) -> None:
    """In a folder that others can write, one can lie where a file is about to be made."""
    victim = tmp_path / "victim"
    victim.write_text("mine")

    def link(name: str) -> Path:
        path = tmp_path / name
        path.symlink_to(victim)
        return path

    with SessionStore.open(tmp_path / "s.db") as store:
        store.create("a").append("user", "hello")
        for number, (format_, force) in enumerate((("events-jsonl", True), ("markdown", False))):
            try:
                export(store, format_, link(f"e{number}"), force=force)
            except EventStoreError:
                assert not force
    side = tmp_path / "side"
    link(f"side.{os.getpid()}.partial")
    side_file.write(side, "note")
    assert side.read_text() == "note"
    link("b.db.partial")
    backup(tmp_path / "s.db", tmp_path / "b.db")
    link("n.db.partial")
    run("salvage", tmp_path / "s.db", tmp_path / "n.db")
    link("k.key")
    assert run("keys", "new", "n", "--key", tmp_path / "k.key").exit_code == 1
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "replay_a.json").symlink_to(victim)
    words = ["fixture", "a", "-o", tmp_path / "f", "--db", tmp_path / "s.db"]
    assert [run(*words).exit_code, run(*words, "--force").exit_code] == [1, 1]
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", [
    "../../x", "/etc/passwd", "..", ".", "", "~", "C:\\x", "a\\b", "CON", "nul", "com1.txt", "aux",
    "a:b", "-rf", ".hidden", "a" * 300, "x\x00y", "index", "line\nend", "潮", "name.", "lpt9",
])  # fmt: skip
def test_a_sessions_id_never_leads_out_of_a_folder(name: str, tmp_path: Path) -> None:
    made = file_name(name, 7)
    assert re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9_.~-]{0,120}", made)
    assert (tmp_path / made).parent == tmp_path
    stem = made.partition(".")[0].upper()
    assert stem not in {"CON", "PRN", "AUX", "NUL", *(f"{n}{i}" for n in ("COM", "LPT")
                                                      for i in range(1, 10))}  # fmt: skip
    assert not made.startswith("-")
    assert not made.endswith(".")


# -- git -------------------------------------------------------------------------------------------


def test_git_is_given_its_arguments_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile name of a folder or a log is neither an option nor another command."""
    calls = []

    def noted(arguments: Any, **options: Any) -> Any:
        assert isinstance(arguments, list)
        assert not options.get("shell")
        calls.append(arguments)
        raise OSError("noted")

    monkeypatch.setattr(subprocess, "run", noted)
    for origin in ("--upload-pack=touch owned", "../../out", "$(touch owned)", "a b;c", "/etc/x"):
        text = f"{origin}\n3\n{'A' * 43}=\n"
        folder = tmp_path / "-c; touch owned"
        folder.mkdir(exist_ok=True)
        with pytest.raises(AnchorError):
            GitAnchor(folder).submit(text)
        with pytest.raises(AnchorError):
            list(GitAnchor(folder).notes(origin))
        with pytest.raises(AnchorError):
            GitAnchor(folder).verify(text, "--output=owned")
    assert calls
    for words in calls:
        assert words[:2] == ["git", "-C"]
        assert Path(words[2]).is_absolute()
        if "--" in words:
            assert re.fullmatch(r"other/[0-9a-f]{32}/checkpoint", words[words.index("--") + 1])
    assert [path.name for path in tmp_path.iterdir()] == ["-c; touch owned"]
    assert set(folder.iterdir()) == {folder / "other"}


# -- the environment -------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["", " ", "\x1b[2J", "/", "/dev/null", "a" * 5_000, ":memory:",
                                   "~nobody-there/x", "\udcff", "file:x?mode=rwc"])  # fmt: skip
def test_an_odd_environment_is_an_error_in_one_line(value: str, db: Path) -> None:
    for variable in ("EVENTSTORE_DB", "EVENTSTORE_KEY", "XDG_DATA_HOME", "XDG_CONFIG_HOME",
                     "XDG_STATE_HOME"):  # fmt: skip
        words = ["sessions"] if variable != "EVENTSTORE_KEY" else ["keys", "show"]
        done = run(*words, **{variable: value})
        assert done.exit_code in (0, 1, 2), (variable, done.output)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        assert RAW.findall(done.stdout + done.stderr) == []


# -- secrets ---------------------------------------------------------------------------------------

#: Words that stand for what was erased or redacted.
ERASED = "the erased words 5f1d"
API_KEY = "sk-ant-api03-" + "aB3" * 31 + "-AA"


def test_what_was_erased_or_redacted_is_in_no_log_warning_or_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Errors quote what a caller gave as an id, a name, `by` or `reason`, and no content."""
    caplog.set_level(logging.DEBUG)
    said = []
    path = tmp_path / "s.db"
    with SessionStore.open(path) as store:
        session = store.create("a")
        session.append("user", ERASED, key="k1")
        session.append("user", f"key {API_KEY}", key="k2")
        first = session.message(1).position
        for attempt in (
            lambda: session.append("user", ERASED + "!", key="k1"),
            lambda: session.append("user", f"{API_KEY}!", key="k2"),
            lambda: session.append("user", {ERASED: {1, 2}}),
            lambda: session.append("user", [ERASED, float("nan")]),
            lambda: session.append("user", ERASED, metadata={"a": object()}),
            lambda: session.erase_events([first, 999], by="desk"),
            lambda: session.compact(5, 9, ERASED),
        ):
            with pytest.raises((EventStoreError, TypeError, ValueError)) as caught:
                attempt()
            said.append(str(caught.value))
        session.erase_events([first], by="desk")
        session.append("user", ERASED, key="k1")
    for words in (["redact", "--all", "--yes"], ["erasures"], ["verify"], ["doctor"], ["check"],
                  ["erase", "a", "--only", "--yes"], ["show", "a"], ["log", "--content"],
                  ["salvage", path, tmp_path / "n.db"]):  # fmt: skip
        done = run(*words, "--db", path)
        said += [done.stderr, done.stdout if words[0] not in ("show", "log") else ""]
    log = tmp_path / "log.jsonl"
    with SessionStore.open(tmp_path / "o.db") as store:
        store.create("o").append("user", ERASED)
        export(store, "events-jsonl", log, record=False)
    for old, new in ((ERASED, ERASED + "!"), ('"salt":"', '"salt":"0'), ("message.", "massage.")):
        changed = tmp_path / "changed.jsonl"
        changed.write_text(log.read_text().replace(old, new))
        said.append(run("import", changed, "--db", tmp_path / "n2.db").output)
    told = "\n".join([*said, caplog.text, *capfd.readouterr()])
    assert ERASED not in told
    assert API_KEY not in told


def test_a_private_key_is_in_no_error_and_no_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cryptography", reason="the extra [sign] is not installed")
    key, said = tmp_path / "a.key", []
    with warnings.catch_warnings(record=True) as caught:
        said.append(run("keys", "new", "example.com/log", "--key", key).output)
        secret = key.read_text().strip()
        private = secret.split("+", 4)[4]  # in which there may be more of them
        db = tmp_path / "s.db"
        SessionStore.open(db).close()
        for text in (secret, secret + "x", secret[:-2], secret.replace("PRIVATE", "PUBLIC"),
                     secret.replace("+", " "), f"{secret}\n{secret}",
                     secret[:30] + "!" + private):  # fmt: skip
            key.write_text(text + "\n")
            for words in (["keys", "show", "--key", key], ["keys", "list"],
                          ["checkpoint", "--key", key, "--db", db]):  # fmt: skip
                said.append(run(*words).output)
        key.chmod(0o644)
        said.append(run("keys", "show", "--key", key).output)
        said.append(run("keys", "show", EVENTSTORE_KEY=str(key)).output)
    told = "\n".join([*said, *(str(one.message) for one in caught)])
    assert private not in told
    assert private[:24] not in told
    assert "others can read" in told or os.name != "posix"
