-- One row a tool call that has an id, with its result once there is one. Names and arguments are
-- content: see contents at call_position, in tool_calls.

CREATE TABLE {tool_calls} (
    stream INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    seq INTEGER NOT NULL,        -- the assistant's message; some providers use an id again
    ordinal INTEGER NOT NULL,    -- which of that message's calls with an id, from 0
    call_position INTEGER NOT NULL,
    called_at INTEGER NOT NULL,
    result_seq INTEGER,
    result_position INTEGER,
    failed INTEGER,
    answered_at INTEGER,
    PRIMARY KEY (stream, call_id, seq)
) STRICT, WITHOUT ROWID;
