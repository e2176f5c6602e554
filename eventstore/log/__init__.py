"""The append-only log: its port, its entry format, and its SQLite implementation."""
