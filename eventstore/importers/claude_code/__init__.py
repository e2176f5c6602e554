"""Importer of Claude Code transcripts (JSON lines, one file per session or sub-agent)."""

from __future__ import annotations

from eventstore.importers.claude_code.plugin import ClaudeCode

__all__ = ["ClaudeCode"]
