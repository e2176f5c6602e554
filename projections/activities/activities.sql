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

-- Which words are in the subject of which activity; the rowid is the event's position. Like
-- search_index it holds no text, and Chinese, Japanese and Korean characters are set apart.

CREATE VIRTUAL TABLE {activity_index} USING fts5 (
    content,
    content = '',
    tokenize = 'unicode61 remove_diacritics 2',
    detail = full,
    columnsize = 1
);
