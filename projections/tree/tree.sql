-- The Merkle tree over the leaves of the log, in the tiles of C2SP's tlog-tiles. A level has as many
-- hashes as its full subtrees are; the last tile of a level may have fewer than 256.

CREATE TABLE {tiles} (
    level INTEGER NOT NULL,   -- a hash is over 256 ** level leaves
    number INTEGER NOT NULL,  -- from 0 on
    hashes BLOB NOT NULL,     -- of 32 bytes each, one after the other
    PRIMARY KEY (level, number)
) STRICT;
