-- The index holds no text, only where each word is; its rowid is the event's position. Every SQLite
-- with FTS5 can read it. Chinese, Japanese and Korean characters are set apart before indexing.

CREATE VIRTUAL TABLE {search_index} USING fts5 (
    text,
    content = '',
    tokenize = 'unicode61 remove_diacritics 2',
    detail = full,
    columnsize = 1
);

-- One row an indexed message and session that has it: a fork's rows for what it took over point to
-- the origin's positions.

CREATE TABLE {search_rows} (
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    at INTEGER NOT NULL,         -- µs since 1970
    indexer INTEGER NOT NULL,    -- number of the rules that made the indexed text
    PRIMARY KEY (stream, seq),
    UNIQUE (position, stream)
) STRICT, WITHOUT ROWID;
