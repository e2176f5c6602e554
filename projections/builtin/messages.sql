-- One row a message and session. A fork has rows of its own for the messages it took over, which
-- point to the same positions. place orders the active messages: a note has the place of the first
-- message it stands for, every other message its seq.

CREATE TABLE {messages} (
    stream INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    position INTEGER NOT NULL,
    place INTEGER NOT NULL,
    role TEXT NOT NULL,
    state TEXT NOT NULL,        -- active, compacted, consolidated, retracted, cleared
    kind TEXT NOT NULL,         -- message, note
    inherited INTEGER NOT NULL, -- 1 for a message that a fork took over
    round INTEGER,
    tokens INTEGER,
    folded_version INTEGER,     -- version of the event that compacted or consolidated it
    removed_version INTEGER,    -- version of the event that retracted or cleared it
    PRIMARY KEY (stream, seq)
) STRICT, WITHOUT ROWID;
