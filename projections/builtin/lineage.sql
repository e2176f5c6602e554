-- Where sessions come from: one row for the parent that spawned a session, one for the origin it
-- was forked from.

CREATE TABLE {lineage} (
    stream INTEGER NOT NULL,
    relation TEXT NOT NULL,      -- spawned, forked
    source INTEGER NOT NULL,     -- stream of the parent or origin
    source_version INTEGER,      -- for a fork: the origin's version it continues
    PRIMARY KEY (stream, relation)
) STRICT, WITHOUT ROWID;
