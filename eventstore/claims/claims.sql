-- What is unique across open sessions because its writer asked for it. Made anew from the log.

CREATE TABLE IF NOT EXISTS claims (
    kind TEXT NOT NULL,         -- title
    digest BLOB NOT NULL,       -- of what is claimed, never its text
    stream INTEGER NOT NULL,    -- who has it
    position INTEGER NOT NULL,  -- the event that took it
    PRIMARY KEY (kind, digest),
    UNIQUE (kind, stream)
) STRICT, WITHOUT ROWID;
