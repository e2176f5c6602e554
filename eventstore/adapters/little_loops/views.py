"""The views that carry the names of the original's tables: the one place of SQL in this adapter.

They live in a connection's own temporary schema and read the `activities` projection joined with
`contents`, so that erasure reaches them; the rules are those of `shapes`.
"""

from __future__ import annotations

from eventstore.adapters.little_loops.shapes import SHAPES, Shape
from eventstore.log.redactions import body

#: Of the original that these tables are those of.
SCHEMA_VERSION = 1

_BODY = body("c", "main.")
_TIME = "strftime('%Y-%m-%dT%H:%M:%SZ', a.at / 1000000, 'unixepoch')"
_TEXT = (
    "CROSS JOIN main.events AS e ON e.position = a.position "
    "LEFT JOIN main.contents AS c ON c.position = a.position"
)
_FROM = f"FROM main.activities AS a {_TEXT}"
#: In the order in which they were recorded, as the original's index gives its rows.
_FROM_ALL = f"FROM main.activities AS a NOT INDEXED {_TEXT}"


def _text(path: str) -> str:
    """The value in the content; a large text is kept apart, in `blobs`."""
    return (
        f"iif(json_type({_BODY}, '{path}') = 'object', (SELECT CAST(b.body AS TEXT) "  # noqa: S608
        f"FROM main.blobs AS b WHERE b.digest = unhex({_BODY} ->> '{path}.$blob')), "
        f"{_BODY} ->> '{path}')"
    )


def _column(shape: Shape, column: str) -> str:
    path = f"$.data.{column}"
    value = _text(path)
    if column in shape.facts:
        value = f"coalesce({value}, e.facts ->> '$.{shape.facts[column][0]}')"
    elif column == shape.subject:
        value = f"iif(json_type({_BODY}, '{path}') IS NULL, {_text('$.subject')}, {value})"
    elif column == "ts":
        value = f"coalesce({value}, {_TIME})"
    return f"{value} AS {column}"


def _view(kind: str, shape: Shape) -> str:
    columns = ", ".join(_column(shape, column) for column in shape.columns)
    return (
        f"CREATE TEMP VIEW {shape.table} AS SELECT a.number AS id, {columns} {_FROM} "
        f"WHERE a.kind = '{kind}';"
    )


_SEARCH_INDEX = (
    f"CREATE TEMP VIEW search_index AS SELECT {_text('$.subject')} AS content, a.kind AS kind, "
    f"coalesce({_BODY} ->> '$.data.index[0]', '') AS ref, "
    f"coalesce({_BODY} ->> '$.data.index[1]', '') AS anchor, "
    f"coalesce({_BODY} ->> '$.data.ts', {_TIME}) AS ts {_FROM_ALL} "
    f"WHERE json_type({_BODY}, '$.subject') IS NOT NULL;"
)
_META = f"CREATE TEMP VIEW meta AS SELECT 'schema_version' AS key, '{SCHEMA_VERSION}' AS value;"

#: Creates every view.
SQL = "\n".join((*(_view(kind, shape) for kind, shape in SHAPES.items()), _SEARCH_INDEX, _META))
