"""What every export keeps: what goes out is recorded first, and a file is whole or not there."""

from __future__ import annotations

import io
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_support import run
from engine_support import budget, clean, populated, ticking
from histories import histories, play
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore, errors
from eventstore.events.catalogue import ExportCreated
from eventstore.exports import registry, runner
from eventstore.exports.names import file_name
from eventstore.exports.registry import Request
from eventstore.exports.runner import export

#: Formats that need nothing that is not installed with the package.
PLAIN = ("events-jsonl", "otel", "openai", "markdown")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with populated(tmp_path / "s.db") as store:
        yield store


def records(store: SessionStore) -> list[tuple[str, ExportCreated]]:
    return [
        (store.session_of(one.stream).name, one.event)
        for one in store.events()
        if isinstance(one.event, ExportCreated) and one.event.to_position is not None
    ]


class Announced:
    """An exporter of another package."""

    name = "announced"
    description = "what a test says"
    suffix = ".txt"
    lossless = False

    def __init__(self, work: Any = None) -> None:
        self.work = work

    def export(self, request: Request) -> None:
        if self.work is not None:
            self.work(request)


@pytest.fixture
def announced(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Have a function of the request be the exporter `announced`."""

    def announce(work: Any, **fields: Any) -> None:
        made = type("Made", (Announced,), fields)(work)
        monkeypatch.setattr(registry, "_announced", lambda: {"announced": lambda: made})

    return announce


# -- the record -----------------------------------------------------------------------------------


def test_before_the_first_byte_the_log_says_what_is_exported_and_for_whom(
    store: SessionStore, announced: Any
) -> None:
    seen = []

    def work(request: Request) -> None:
        seen.append(records(store))
        request.stream().write(b"x")

    announced(work)
    head = store.head
    done = export(store, "announced", io.BytesIO(), recipient="an auditor")
    [[(name, event)]] = seen
    assert name == "agent-eventstore"
    assert (event.format, event.scope, event.to_position, event.to_version) == (
        "announced", "log", head.position, None,
    )  # fmt: skip
    assert event.content is not None
    assert event.content.recipient == "an auditor"
    assert (done.to_position, done.leaf) == head
    assert done.recorded == (store.head.position,)
    clean(store)


def test_an_export_of_sessions_is_recorded_in_each_of_them_even_if_it_is_closed(
    store: SessionStore, announced: Any
) -> None:
    announced(None)
    closed, root = store.session("gone~1"), store.session("root")
    assert closed.state().status == "closed"
    versions = [closed.version, root.version]
    head = store.head.position
    export(store, "announced", io.BytesIO(), sessions=[closed, root], recipient="desk")
    found = records(store)
    assert [name for name, _ in found] == ["gone~1", "root"]
    assert [event.to_version for _, event in found] == versions
    assert {(event.scope, event.to_position) for _, event in found} == {("session", head)}
    assert store.get("agent-eventstore") is None
    clean(store)


def test_an_export_that_fails_is_recorded_all_the_same(store: SessionStore, announced: Any) -> None:
    def work(_: Request) -> None:
        raise OSError(28, "No space left on device")

    announced(work)
    with pytest.raises(OSError, match="No space"):
        export(store, "announced", io.BytesIO())
    assert len(records(store)) == 1


def test_without_a_record_the_store_stays_as_it_was(store: SessionStore, tmp_path: Path) -> None:
    before = store.head
    done = export(store, "events-jsonl", io.BytesIO(), record=False)
    assert done.recorded == ()
    assert store.head == before
    with pytest.raises(errors.InvalidValueError, match="recipient"):
        export(store, "events-jsonl", io.BytesIO(), record=False, recipient="x")
    with SessionStore.open(tmp_path / "s.db", readonly=True) as readonly:
        export(readonly, "events-jsonl", io.BytesIO(), record=False)
        with pytest.raises(errors.ReadOnlyStoreError, match="not to be recorded"):
            export(readonly, "events-jsonl", io.BytesIO())


def test_the_stores_own_session_disturbs_no_list_and_no_count(store: SessionStore) -> None:
    def seen() -> list[Any]:
        return [
            [one.name for one in store.sessions()],
            store.stats(),
            store.stats("lineage"),
            [branch.name for branch in store.tree()],
            [one.name for one in store.sessions_with_prefix("a")],
        ]

    before = seen()
    for _ in range(3):
        export(store, "events-jsonl", io.BytesIO())
    assert seen() == before
    own = store.session("agent-eventstore")
    assert (own.incarnation, own.version) == (1, 5)
    assert own.info().status == "closed"
    assert "agent-eventstore" in [one.name for one in store.sessions(statuses=None)]
    clean(store)


def test_a_session_of_somebody_else_with_the_stores_own_name_is_left_alone(
    store: SessionStore,
) -> None:
    store.create("agent-eventstore").append("user", "mine")
    before = store.head
    with pytest.raises(errors.InvalidValueError, match="the store's own"):
        export(store, "events-jsonl", io.BytesIO())
    assert store.head == before
    out = io.BytesIO()
    export(store, "markdown", out, sessions=[store.session("agent-eventstore")])
    assert b"mine" in out.getvalue()


# -- the file -------------------------------------------------------------------------------------


def test_a_file_is_private_and_whole(store: SessionStore, tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    old = os.umask(0)
    try:
        export(store, "events-jsonl", target)
        export(store, "markdown", tmp_path / "folder")
    finally:
        os.umask(old)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "folder").iterdir()}
    assert modes == {0o600}


@pytest.mark.parametrize("suffix", [".txt", ""])
def test_what_fails_leaves_nothing(
    suffix: str, store: SessionStore, announced: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    for error in (RuntimeError("in the middle"), KeyboardInterrupt()):

        def work(request: Request, error: BaseException = error) -> None:
            if request.out is not None:
                request.out.write(b"half")
            else:
                (request.directory() / "half").write_bytes(b"half")
            raise error

        announced(work, suffix=suffix)
        with pytest.raises(type(error)):
            export(store, "announced", folder / "target")
        assert list(folder.iterdir()) == []


def test_nothing_is_replaced_unless_that_is_said(store: SessionStore, tmp_path: Path) -> None:
    target = tmp_path / "kept"
    target.write_bytes(b"kept")
    before = store.head
    with pytest.raises(errors.ExportFailedError, match="exists already"):
        export(store, "events-jsonl", target)
    assert (target.read_bytes(), store.head) == (b"kept", before)
    export(store, "events-jsonl", target, force=True)
    assert target.read_bytes().startswith(b'{"line":"header"')
    folder = tmp_path / "full"
    folder.mkdir()
    (folder / "kept").write_bytes(b"kept")
    with pytest.raises(errors.ExportFailedError, match="exists already"):
        export(store, "markdown", folder, force=True)
    assert [path.name for path in folder.iterdir()] == ["kept"]


def test_a_file_that_somebody_makes_meanwhile_is_not_replaced(
    store: SessionStore, announced: Any, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    announced(lambda request: target.write_bytes(b"theirs"))
    with pytest.raises(errors.ExportFailedError, match="meanwhile"):
        export(store, "announced", target)
    assert target.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("events-jsonl", "no/such/file", "there is no folder"),
        ("events-jsonl", ".", "is a folder"),
        ("events-jsonl", "s.db", "the store itself"),
        ("markdown", "-", "several files"),
        ("no-format", "x", "no exporter 'no-format'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_recorded(
    name: str, target: str, told: str, store: SessionStore, tmp_path: Path
) -> None:
    before = store.head
    place = target if target == "-" else tmp_path / target
    with pytest.raises(errors.ExportFailedError, match=told):
        export(store, name, place, force=True)
    assert store.head == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"options": {"none": "1"}}, {"options": {"semconv": "0.9"}}, {"content": "half"},
        {"sessions": ["root", "root"]}, {"sessions": ["other store's"]},
    ],
)  # fmt: skip
def test_wrong_values_are_refused_before_anything_is_recorded(
    wrong: dict[str, Any], store: SessionStore
) -> None:
    before = store.head
    with SessionStore.open(":memory:") as another:
        elsewhere = another.create("x")
        if "sessions" in wrong:
            wrong = {"sessions": [store.get(name) or elsewhere for name in wrong["sessions"]]}
        with pytest.raises(errors.InvalidValueError):
            export(store, "otel", io.BytesIO(), **wrong)
    assert store.head == before


def test_file_names_of_sessions_differ_and_are_plain() -> None:
    names = ["a", "A", "a/b", "a_b", "..", ".hidden", "…", "CON", "x" * 300, "../../etc/passwd", ""]
    found = [file_name(name, stream) for stream, name in enumerate(names)]
    assert len({name.lower() for name in found}) == len(names)
    for name in found:
        assert "/" not in name
        assert not name.startswith(".")
        assert 0 < len(name) < 130


# -- every format ---------------------------------------------------------------------------------


@settings(max_examples=budget(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_every_format_takes_any_history_and_gives_the_same_again(history: list[Any]) -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        play(store, history)
        for name in PLAIN:
            for content in ("full", "none"):
                if registry.is_per_session(registry.exporter(name)):
                    chosen = [[store.session(one.name)] for one in store.sessions(statuses=None)]
                else:
                    chosen = [None]  # type: ignore[list-item]
                for sessions in chosen:
                    if (name, content) == ("openai", "none"):
                        continue
                    outs = [io.BytesIO(), io.BytesIO()]
                    for out in outs:
                        export(store, name, out, sessions=sessions, record=False, content=content)
                    assert outs[0].getvalue() == outs[1].getvalue()
                    outs[0].getvalue().decode()


@pytest.mark.parametrize("name", PLAIN)
def test_what_was_erased_is_in_no_export(name: str, store: SessionStore) -> None:
    secret = store.create("has a secret", title="the TITLE secret")
    secret.append("user", "the WORD secret")
    secret.append("assistant", "I heard the WORD secret")
    secret.erase_events([event.position for event in secret.events()][1:])
    out = io.BytesIO()
    export(store, name, out, sessions=[secret])
    assert b"secret" not in out.getvalue().replace(b"has a secret", b"")
    if name != "openai":  # which leaves such a session out
        assert b"erased" in out.getvalue()


@pytest.mark.parametrize("name", PLAIN)
def test_progress_ends_with_all_of_it(name: str, store: SessionStore, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    export(store, name, tmp_path / "out", progress=lambda at, end: told.append((at, end)))
    assert told[-1][0] == told[-1][1] > 0
    assert told == sorted(told)


# -- plug-ins -------------------------------------------------------------------------------------


def test_every_format_has_an_exporter_of_its_name_and_describes_itself() -> None:
    for name in registry.formats():
        made = registry.exporter(name)
        assert made.name == name
        assert made.description
        assert made.suffix == "" or made.suffix.startswith(".")
        assert isinstance(made.lossless, bool)


def test_a_package_brings_an_exporter_by_an_entry_point(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "acme_export.py").write_text(
        "class Acme:\n"
        "    name, description, suffix, lossless = 'acme', 'a test', '.acme', False\n"
        "    def export(self, request):\n"
        "        request.stream().write(b'%d' % request.to_position)\n"
    )
    info = tmp_path / "acme_export-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-export\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[agent_eventstore.exporters]\nacme = acme_export:Acme\nbroken = acme_export:Gone\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert registry.formats()[-2:] == ["acme", "broken"]
    out = io.BytesIO()
    done = export(store, "acme", out)
    assert out.getvalue() == b"%d" % done.to_position
    with pytest.raises(errors.ExportFailedError, match="'broken' cannot be loaded"):
        export(store, "broken", out)
    sys.modules.pop("acme_export")


# -- the command ----------------------------------------------------------------------------------


def test_the_command_exports_records_and_tells(store: SessionStore, tmp_path: Path) -> None:
    db = store.path
    head = store.head
    done = run("--db", db, "export", "--all", "-f", "events-jsonl", "-o", str(tmp_path / "x"),
               "--recipient", "desk", "--json")  # fmt: skip
    assert done.exit_code == 0
    assert f'"to_position": {head.position}' in done.stdout
    assert head.leaf.hex() in done.stdout
    assert records(store)[-1][1].content.recipient == "desk"  # type: ignore[union-attr]
    to_stdout = run("--db", db, "export", "root", "-f", "markdown", "--no-record")
    assert to_stdout.stdout.startswith("# Title\n")
    assert "not recorded" in to_stdout.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        ("export", "root"),
        ("export", "-f", "otel"),
        ("export", "root", "--all", "-f", "otel"),
        ("export", "root", "-f", "otel", "-O", "semconv"),
        ("export", "root", "-f", "otel", "-O", "semconv=2"),
        ("export", "root", "-f", "otel", "--json"),
    ],
)
def test_a_wrong_call_is_wrong_usage(wrong: tuple[str, ...], store: SessionStore) -> None:
    before = store.head
    assert run("--db", store.path, *wrong).exit_code == 2
    assert store.head == before


def test_the_formats_are_listed(store: SessionStore) -> None:
    text = run("export", "--list-formats").stdout
    for name in registry.formats():
        assert name in text
    assert runner.STDOUT == "-"
