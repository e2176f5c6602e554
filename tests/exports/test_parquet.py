"""Parquet: what pyarrow and DuckDB read is what the store says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, populated, ticking
from histories import histories, play
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore, ToolCall, errors
from eventstore.exports.parquet import exporting
from eventstore.exports.parquet.tables import TABLES
from eventstore.exports.runner import export

pytest.importorskip("pyarrow", reason="pyarrow is not installed")
duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with populated(tmp_path / "s.db") as store:
        store.session("child").erase_events([store.session("child").messages()[0].position])
        store.session("gone~1").erase(reason="asked")
        yield store


def ask(folder: Path, sql: str) -> list[Any]:
    """Rows of a query; ``{messages}`` stands for that table's file."""
    files = {name: f"'{folder / name}.parquet'" for name in TABLES}
    found: list[Any] = duckdb.sql(sql.format(**files)).fetchall()
    return found


def exported(store: SessionStore, folder: Path, **options: Any) -> Path:
    export(store, "parquet", folder, record=False, **options)
    return folder


def agrees(store: SessionStore, folder: Path) -> None:
    """What DuckDB adds up is what the store's own queries say."""
    infos = {one.name: one for one in store.sessions(statuses=None)}
    assert ask(folder, "SELECT count(*) FROM {sessions}") == [(len(infos),)]
    counts = ask(
        folder,
        "SELECT s.session, s.messages, s.active_messages, s.compactions, s.tool_calls, s.title, "
        "s.status, count(m.seq), count(m.seq) FILTER (m.state = 'active'), epoch_us(s.created_at) "
        "FROM {sessions} AS s LEFT JOIN {messages} AS m USING (session) GROUP BY ALL",
    )
    for name, *row in counts:
        info, session = infos[name], store.session(name)
        history = session.history()
        title = None if info.title is None else re.sub("[\ud800-\udfff]", "\ufffd", info.title)
        assert row == [
            info.messages, info.active_messages, info.compactions, info.tool_calls, title,
            info.status, len(history), len(session.messages()), info.created_at,
        ]  # fmt: skip
    for name in infos:
        totals = store.session(name).usage()
        [row] = ask(
            folder,
            "SELECT count(*), coalesce(sum(input), 0), coalesce(sum(cache_read), 0), "
            "coalesce(sum(cache_write), 0), coalesce(sum(output), 0), sum(cost_nanos) "
            f"FROM {{usage}} WHERE session = '{name.replace(chr(39), chr(39) * 2)}'",
        )
        assert row == (
            totals.calls, totals.input, totals.cache_read, totals.cache_write, totals.output,
            totals.cost_nanos,
        )  # fmt: skip
        calls = ask(
            folder,
            "SELECT call_id, seq, result_seq, failed, erased FROM {tool_calls} "
            f"WHERE session = '{name.replace(chr(39), chr(39) * 2)}' ORDER BY seq, call_id",
        )
        assert calls == [
            (one.call_id, one.seq, one.result_seq, one.failed, one.name is None)
            for one in sorted(store.session(name).tool_calls(), key=lambda x: (x.seq, x.call_id))
        ]


def test_what_duckdb_adds_up_is_what_the_store_says(store: SessionStore, tmp_path: Path) -> None:
    agrees(store, exported(store, tmp_path / "out"))


@settings(max_examples=budget(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_adds_up(tmp_path_factory: pytest.TempPathFactory, history: list[Any]) -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        play(store, history)
        agrees(store, exported(store, tmp_path_factory.mktemp("p") / "out"))


def test_texts_come_back_as_they_were(store: SessionStore, tmp_path: Path) -> None:
    folder = exported(store, tmp_path / "out")
    rows = ask(folder, "SELECT session, seq, text, erased FROM {messages} WHERE parts IS NULL")
    for session, seq, text, erased in rows:
        message = store.session(session).message(seq)
        assert message is not None
        assert (text, erased) == (message.text, message.erased)
    assert any(erased for *_, erased in rows)
    [(text,)] = ask(folder, "SELECT arguments ->> 'q' FROM {tool_calls}")
    assert text == "needle"


def test_columns_have_types_and_the_file_says_where_it_is_from(
    store: SessionStore, tmp_path: Path
) -> None:
    from pyarrow import parquet

    head = store.head
    folder = exported(store, tmp_path / "out")
    for name, columns in TABLES.items():
        file = parquet.ParquetFile(folder / f"{name}.parquet")
        types = {"int": "int64", "text": "string", "json": "string", "bool": "bool",
                 "time": "timestamp[us, tz=UTC]"}  # fmt: skip
        assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
            (column, types[kind]) for column, kind in columns
        ]
        metadata = file.schema_arrow.metadata
        assert metadata[b"agent_eventstore.to_position"] == b"%d" % head.position
        assert metadata[b"agent_eventstore.head"] == head.leaf.hex().encode()
    [row] = ask(
        folder,
        "SELECT typeof(created_at), epoch_us(created_at) FROM {sessions} WHERE session = 'root'",
    )
    assert row == ("TIMESTAMP WITH TIME ZONE", store.session("root").info().created_at)


def test_no_column_has_to_be_quoted(store: SessionStore, tmp_path: Path) -> None:
    folder = exported(store, tmp_path / "out")
    for name, columns in TABLES.items():
        chosen = ", ".join(column for column, _ in columns)
        inner = f"SELECT {chosen} FROM {{{name}}} GROUP BY {chosen} ORDER BY {chosen}"
        [(rows,)] = ask(folder, f"SELECT count(*) FROM ({inner})")
        assert rows > 0


def test_without_texts_no_text_goes_out(store: SessionStore, tmp_path: Path) -> None:
    folder = exported(store, tmp_path / "out", content="none")
    columns = {
        "sessions": ("title", "prompt"),
        "messages": ("text", "parts", "tool_calls", "reasoning", "metadata", "name", "tool_name"),
        "tool_calls": ("name", "arguments", "result"),
        "compactions": ("note",),
    }
    for table, names in columns.items():
        counts = ", ".join(f"count({name})" for name in names)
        assert ask(folder, f"SELECT {counts} FROM {{{table}}}") == [(0,) * len(names)]
    [(messages,)] = ask(folder, "SELECT count(*) FROM {messages}")
    assert messages == sum(one.messages for one in store.sessions(statuses=None))


def test_it_is_the_store_as_it_was_when_the_export_began(
    store: SessionStore, tmp_path: Path
) -> None:
    root = store.session("root")
    root.append("assistant", tool_calls=[ToolCall(id="late", name="wait")])
    before = [(one.seq, one.state) for one in root.history()]
    usage = root.usage()

    def meanwhile(*_: object) -> None:
        if root.version < 200:
            root.append("tool", "meanwhile", call_id="late")
            root.clear()
            root.record_usage("r1", input=999)
            root.record_usage("r9", input=999)

    original = exporting.rows
    try:
        exporting.rows = lambda past, texts: (meanwhile(), original(past, texts))[1]  # type: ignore
        folder = exported(store, tmp_path / "out")
    finally:
        exporting.rows = original
    assert ask(folder, "SELECT seq, state FROM {messages} WHERE session = 'root'") == before
    [(calls, tokens)] = ask(
        folder, "SELECT count(*), sum(input) FROM {usage} WHERE session = 'root'"
    )
    assert (calls, tokens) == (usage.calls, usage.input)
    late = "SELECT result_seq, result, failed, answered_at FROM {tool_calls} WHERE call_id = 'late'"
    assert ask(folder, late) == [(None, None, None, None)]


def test_many_rows_make_several_row_groups(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pyarrow import parquet

    monkeypatch.setattr(exporting, "ROWS", 3)
    folder = exported(store, tmp_path / "out")
    assert parquet.ParquetFile(folder / "messages.parquet").num_row_groups > 2
    agrees(store, folder)


def test_without_pyarrow_one_error_says_what_to_install(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    before = store.head
    with pytest.raises(errors.ExportFailedError, match=r"agent-eventstore\[parquet\]"):
        export(store, "parquet", tmp_path / "out")
    assert store.head == before
