-- The log: streams, events, contents, blobs. Written by eventstore.log only.

CREATE TABLE streams (
    id INTEGER PRIMARY KEY,
    session_id TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    uid BLOB NOT NULL,
    UNIQUE (session_id, incarnation)
) STRICT;

CREATE TABLE events (
    position INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    version INTEGER NOT NULL,
    type TEXT NOT NULL,
    schema INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    actor INTEGER NOT NULL,
    facts TEXT NOT NULL,
    idempotency_key TEXT,
    commitment BLOB,
    leaf BLOB NOT NULL,
    UNIQUE (stream, version)
) STRICT;

CREATE UNIQUE INDEX events_by_key ON events (stream, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

CREATE TABLE contents (
    position INTEGER PRIMARY KEY,
    salt BLOB,
    body TEXT
) STRICT;

CREATE TABLE blobs (
    digest BLOB PRIMARY KEY,
    body BLOB
) STRICT;

CREATE TABLE blob_references (
    digest BLOB NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (digest, position)
) STRICT, WITHOUT ROWID;

-- Hygiene, not security: they stop mistakes. What stops a forger is the chain and its checkpoints.

CREATE TRIGGER events_are_immutable BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;

CREATE TRIGGER events_are_permanent BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END;

CREATE TRIGGER contents_are_permanent BEFORE DELETE ON contents
BEGIN SELECT RAISE(ABORT, 'content is erased by wiping it, never by deleting its row'); END;

CREATE TRIGGER contents_are_only_wiped BEFORE UPDATE ON contents
WHEN NEW.body IS NOT NULL OR NEW.salt IS NOT NULL OR NEW.position IS NOT OLD.position
BEGIN SELECT RAISE(ABORT, 'content is never changed, only wiped'); END;

CREATE TRIGGER streams_are_permanent BEFORE DELETE ON streams
BEGIN SELECT RAISE(ABORT, 'streams are never deleted'); END;

CREATE TRIGGER streams_only_lose_their_name BEFORE UPDATE ON streams
WHEN NEW.session_id NOT GLOB 'erased:*' OR NEW.id IS NOT OLD.id
    OR NEW.incarnation IS NOT OLD.incarnation OR NEW.uid IS NOT OLD.uid
BEGIN SELECT RAISE(ABORT, 'a stream is never changed, only renamed by erasure'); END;

-- For people with a SQLite shell: one readable row an event.

CREATE VIEW log AS
SELECT
    e.position,
    CASE WHEN EXISTS (SELECT 1 FROM streams AS n WHERE n.session_id = s.session_id
                      AND n.incarnation > s.incarnation)
         THEN s.session_id || '~' || s.incarnation ELSE s.session_id END AS session,
    e.version,
    e.type,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.recorded_at / 1000000.0, 'unixepoch') AS recorded_at,
    CASE e.actor WHEN 1 THEN 'user' WHEN 2 THEN 'model' WHEN 3 THEN 'tool'
         WHEN 4 THEN 'system' WHEN 5 THEN 'operator' ELSE 'unknown' END AS actor,
    e.facts,
    c.body AS content
FROM events AS e
JOIN streams AS s ON s.id = e.stream
LEFT JOIN contents AS c ON c.position = e.position;
