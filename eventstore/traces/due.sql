-- Erasures of which it is not known yet that they left no trace in the file. A row goes when it is.

CREATE TABLE IF NOT EXISTS erasures_due (
    position INTEGER PRIMARY KEY,  -- of the event that says it
    searched INTEGER NOT NULL,     -- 1: the pages hold no trace, the write-ahead log may
    cause TEXT                     -- what stood in the way when it was last tried
) STRICT;
