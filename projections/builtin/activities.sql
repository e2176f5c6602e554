-- One row an activity: a tool that ran, a file, an issue or a loop that moved, a correction. What it
-- says is content: see contents at the position.

CREATE TABLE {activities} (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    kind TEXT NOT NULL,          -- tool, file, issue, loop, correction
    number INTEGER NOT NULL,     -- which of its kind in the whole log, from 1
    at INTEGER NOT NULL,         -- µs since 1970
    UNIQUE (kind, number)
) STRICT;
