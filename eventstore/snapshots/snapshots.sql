-- Folded states of sessions, a cache: dropping every row loses nothing.

CREATE TABLE IF NOT EXISTS snapshots (
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    reducer INTEGER NOT NULL,
    leaf BLOB NOT NULL,
    state BLOB NOT NULL,
    PRIMARY KEY (stream, version)
) STRICT, WITHOUT ROWID;
