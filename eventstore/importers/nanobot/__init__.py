"""The importer of nanobot's session files: of version 0.1.4 and of today's."""
