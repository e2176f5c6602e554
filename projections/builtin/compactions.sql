-- One row a compaction: the note and the messages it stands for.

CREATE TABLE {compactions} (
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    position INTEGER NOT NULL,  -- where the note's text is
    seq INTEGER NOT NULL,       -- the note
    from_seq INTEGER NOT NULL,
    to_seq INTEGER NOT NULL,
    runs TEXT NOT NULL,         -- JSON: [[first seq, length], …] in active order
    count INTEGER NOT NULL,
    round INTEGER,
    tokens_before INTEGER,
    tokens_after INTEGER,
    trigger TEXT,
    compacted_at INTEGER NOT NULL,
    PRIMARY KEY (stream, version)
) STRICT, WITHOUT ROWID;
