"""The Merkle tree over the log's leaves, kept as tiles of 256 hashes."""
