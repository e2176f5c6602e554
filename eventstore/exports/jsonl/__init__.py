"""The log as JSON lines, without loss, and back into an equal log."""
