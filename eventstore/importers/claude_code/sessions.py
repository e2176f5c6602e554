"""Which session each record of a transcript belongs to.

- A record belongs to the session its ``sessionId`` names; a sub-agent's to
  ``<sessionId>/<agentId>``. In a folder ``<session>/subagents`` the folder names the session.
- Older versions wrote a sub-agent's records, without an id for it, into the main file. Such a
  *sidechain* is followed along ``parentUuid`` to the record it began with, whose uuid's first
  eight characters name it: ``<sessionId>/<uuid>``; ``<sessionId>/sidechain`` if that is unknown.
- A record without id belongs to the session of the record before it (the main one, if that is a
  sidechain's), at the file's start to that of the first record with an id, and in a file without
  any id to a session named like the file.

The answer for a record depends on the records before it only (and at the start of a file on the
first that has an id), so it stays the same when the file grows.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePath
from typing import Any, NamedTuple

from eventstore.errors import InvalidValueError
from eventstore.importers.bounded import Recent
from eventstore.session.decisions import check_session_id

#: Records remembered while looking for what their followers belong to.
LINKS_MAX = 65_536


class Home(NamedTuple):
    """A session id and that of the parent session, if it is a sub-agent's."""

    session_id: str
    parent: str | None = None


class Sessions:
    """Gives each record of one file its session; feed it the records in order."""

    def __init__(self, path: PurePath, default: Home | None = None) -> None:
        self._agent = path.stem.removeprefix("agent-") if is_agent_file(path) else None
        self._owner = path.parent.parent.name if path.parent.name == "subagents" else None
        self._last = default or _home(path.stem, "transcript")
        self._homes: Recent[str, Home] = Recent(LINKS_MAX)

    def of(self, record: dict[str, Any] | None) -> Home:
        """The session of the next record; None stands for a damaged one."""
        main = None if record is None else self._main(record)
        if main is None or record is None:
            return self._last
        if agent := self._agent_of(record):
            self._last = _home(f"{main}/{agent}", f"{main}/agent", parent=main)
            return self._last
        self._last = Home(main)
        uuid = record.get("uuid")
        home = self._last
        if record.get("isSidechain") is True:
            home = self._sidechain(main, uuid, record.get("parentUuid"))
        if type(uuid) is str:
            self._homes.add(uuid, home)
        return home

    def names_session(self, record: dict[str, Any]) -> bool:
        """Whether the record itself says which session it belongs to."""
        return self._main(record) is not None

    def _main(self, record: dict[str, Any]) -> str | None:
        session_id = record.get("sessionId")
        if not _is_id(session_id):
            return None
        return self._owner or session_id

    def _agent_of(self, record: dict[str, Any]) -> str | None:
        agent = record.get("agentId")
        if type(agent) is str and agent and (self._agent or record.get("isSidechain") is True):
            return agent
        return self._agent

    def _sidechain(self, main: str, uuid: Any, parent: Any) -> Home:
        before = self._homes.get(parent) if type(parent) is str else Home(main)
        if before is not None and before.parent is not None:
            return before
        begins = before is not None and type(uuid) is str and uuid
        name = uuid[:8] if begins else "sidechain"
        return _home(f"{main}/{name}", f"{main}/sidechain", parent=main)


def is_agent_file(path: PurePath) -> bool:
    """Whether a file's name says that it holds one sub-agent's records."""
    return path.name.startswith("agent-")


def _is_id(value: Any) -> bool:
    return type(value) is str and len(value) <= 200 and _may_name(value)


@lru_cache(maxsize=256)
def _may_name(session_id: str) -> bool:
    try:
        check_session_id(session_id)
    except InvalidValueError:
        return False
    return True


def _home(session_id: str, otherwise: str, parent: str | None = None) -> Home:
    """The home with this id, or with the other one if it cannot name a session."""
    return Home(session_id if _is_id(session_id) else otherwise, parent)
