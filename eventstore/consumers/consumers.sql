-- How far each named consumer of the log has come. Not derived: a dropped row is a place forgotten.

CREATE TABLE IF NOT EXISTS consumers (
    name TEXT PRIMARY KEY,
    position INTEGER NOT NULL,     -- the last event that was dealt with, 0 for none
    leaf BLOB NOT NULL,            -- its leaf, by which a lost end of the log shows
    committed_at INTEGER NOT NULL  -- µs since 1970
) STRICT, WITHOUT ROWID;
