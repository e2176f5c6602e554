-- How far each projection has come: position, and the leaf there, so that a checkpoint of another
-- history is noticed. Both are NULL where every append keeps the tables at the head of the log.

CREATE TABLE IF NOT EXISTS projections (
    name TEXT PRIMARY KEY,
    version INTEGER NOT NULL,
    position INTEGER,
    leaf BLOB
) STRICT, WITHOUT ROWID;
