-- One row a model call: the newest event of each key. Counters are disjoint.

CREATE TABLE {usage} (
    stream INTEGER NOT NULL,
    key TEXT NOT NULL,            -- the provider's response id, or the round
    position INTEGER NOT NULL,
    round INTEGER,
    model TEXT,
    provider TEXT,
    input INTEGER NOT NULL,       -- uncached
    cache_read INTEGER NOT NULL,
    cache_write INTEGER NOT NULL,
    output INTEGER NOT NULL,
    reasoning INTEGER NOT NULL,   -- part of output
    cost_nanos INTEGER,           -- billionths of currency
    currency TEXT,
    cost_source TEXT,
    recorded_at INTEGER NOT NULL, -- µs since 1970
    PRIMARY KEY (stream, key)
) STRICT, WITHOUT ROWID;
