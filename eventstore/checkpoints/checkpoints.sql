-- What the log is called in checkpoint notes: the newest row is its name now. A backup that was
-- restored as a new log has the names of those it came from as well.

CREATE TABLE IF NOT EXISTS log_origins (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,     -- 32 hexadecimal digits, random
    begun_at INTEGER NOT NULL    -- µs since 1970
) STRICT;

-- Every checkpoint note that was made of this log. Not derived: a dropped row is a note forgotten.

CREATE TABLE IF NOT EXISTS checkpoint_notes (
    origin TEXT NOT NULL,        -- the id of log_origins
    size INTEGER NOT NULL,       -- events that the note covers
    root BLOB NOT NULL,          -- of the tree over them
    note TEXT NOT NULL,          -- as it is written; the bare text where nobody signed it
    reason TEXT NOT NULL,        -- hand, close, erasure, export …
    made_at INTEGER NOT NULL,    -- µs since 1970
    PRIMARY KEY (origin, size)
) STRICT, WITHOUT ROWID;

-- Where each note was sent. Without a receipt the anchor has not taken it yet.

CREATE TABLE IF NOT EXISTS checkpoint_anchors (
    origin TEXT NOT NULL,
    size INTEGER NOT NULL,
    anchor TEXT NOT NULL,        -- the anchor's name, such as file:/mnt/worm/notes
    receipt TEXT,                -- what the anchor gave for the note
    failure TEXT,                -- why the last attempt failed
    tried_at INTEGER NOT NULL,   -- µs since 1970
    PRIMARY KEY (origin, size, anchor)
) STRICT, WITHOUT ROWID;
