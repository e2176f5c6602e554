-- One row a session (and incarnation): what a list of sessions shows. Ids and titles are not in
-- here: join streams for the id, contents at *_position for the text, so that erasure reaches them.

CREATE TABLE {sessions} (
    stream INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    status TEXT NOT NULL,          -- active, ended, archived, closed
    kind TEXT NOT NULL,            -- root, subagent
    lifecycle TEXT NOT NULL,       -- ephemeral, linked, detached
    depth INTEGER NOT NULL,
    parent INTEGER,                -- stream of the session that spawned it
    origin INTEGER,                -- stream of the session it was forked from
    origin_version INTEGER,
    source TEXT,
    model TEXT,
    provider TEXT,
    round INTEGER NOT NULL,
    messages INTEGER NOT NULL,
    active_messages INTEGER NOT NULL,
    compactions INTEGER NOT NULL,
    tool_calls INTEGER NOT NULL,
    title_position INTEGER,
    prompt_position INTEGER,
    configuration_position INTEGER,
    pending_position INTEGER,
    preview_position INTEGER,      -- the first message of a user
    created_at INTEGER NOT NULL,   -- µs since 1970
    updated_at INTEGER NOT NULL,
    last_message_at INTEGER
) STRICT;
