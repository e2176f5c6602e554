-- How far each projection has come: position, and the leaf there, so that a checkpoint of another
-- history is noticed.

CREATE TABLE IF NOT EXISTS projections (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,
    leaf BLOB NOT NULL
) STRICT, WITHOUT ROWID;
