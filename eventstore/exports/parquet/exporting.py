"""Writing the tables with pyarrow, a row group at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from msgspec import Struct

from eventstore import __version__
from eventstore.errors import ExportFailedError
from eventstore.exports import past
from eventstore.exports.parquet.tables import TABLES, Column, Row, Texts, rows
from eventstore.exports.registry import Request
from eventstore.visible import encodable

#: A row group is written when it has so many rows, or its texts so many characters.
ROWS = 10_000
CHARACTERS = 4_000_000

_EARLIEST = int(datetime(1, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
_LATEST = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp()) * 1_000_000


class Parquet(Struct, frozen=True):
    """Exporter of five tables, one Parquet file each, in a folder."""

    name: str = "parquet"
    description: str = "tables of sessions, messages, tool calls, usage and compactions"
    suffix: str = ""
    lossless: bool = False

    def check(self, _: Mapping[str, str], __: str) -> None:
        """Raise `ExportFailedError` where pyarrow is missing."""
        _pyarrow()

    def export(self, request: Request) -> None:
        """Write the tables."""
        folder, texts = request.directory(), Texts(request.content == "full")
        metadata = {
            "agent_eventstore.made_by": f"agent-eventstore {__version__}",
            "agent_eventstore.to_position": str(request.to_position),
            "agent_eventstore.head": request.head.leaf.hex(),
            "agent_eventstore.content": request.content,
        }
        with ExitStack() as stack:
            tables = {
                name: stack.enter_context(_Table(folder / f"{name}.parquet", columns, metadata))
                for name, columns in TABLES.items()
            }
            for one in past.sessions(request):
                for name, row in rows(one, texts):
                    tables[name].add(row)


class _Table:
    """One file that is being written."""

    def __init__(self, path: Path, columns: Sequence[Column], metadata: dict[str, str]) -> None:
        self._arrow, parquet = _pyarrow()
        types = _types(self._arrow)
        fields = [(name, types[kind]) for name, kind in columns]
        self._schema = self._arrow.schema(fields, metadata=metadata)
        self._texts = [index for index, (_, kind) in enumerate(columns) if kind in ("text", "json")]
        self._times = [index for index, (_, kind) in enumerate(columns) if kind == "time"]
        self._writer = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []
        self._characters = 0

    def __enter__(self) -> _Table:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def add(self, row: Row) -> None:
        """Keep a row until its group is full."""
        self._rows.append(row)
        self._characters += sum(len(row[index] or "") for index in self._texts)
        if len(self._rows) >= ROWS or self._characters >= CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        if not self._rows:
            return
        columns: list[list[Any]] = [list(column) for column in zip(*self._rows, strict=True)]
        for index in self._texts:
            columns[index] = [value and encodable(value) for value in columns[index]]
        for index in self._times:
            columns[index] = [_time(value) for value in columns[index]]
        arrays = [
            self._arrow.array(column, field.type)
            for column, field in zip(columns, self._schema, strict=True)
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows, self._characters = [], 0


def _time(value: int | None) -> int | None:
    """A time that readers of Parquet can show; what lies outside of their years is none."""
    return value if value is not None and _EARLIEST <= value <= _LATEST else None


def _types(arrow: Any) -> dict[str, Any]:
    return {
        "text": arrow.string(),
        "json": arrow.string(),
        "int": arrow.int64(),
        "bool": arrow.bool_(),
        "time": arrow.timestamp("us", tz="UTC"),
    }


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ExportFailedError(
            "the format parquet needs pyarrow: pip install 'agent-eventstore[parquet]'"
        ) from error
    return pyarrow, parquet
