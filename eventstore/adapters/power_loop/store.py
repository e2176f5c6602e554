"""`SessionStore`: power-loop's session store on this engine's log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from eventstore.adapters.power_loop import rows
from eventstore.adapters.power_loop.closing import close_tree
from eventstore.adapters.power_loop.errors import (
    MissingValueError,
    NoStoreError,
    RefusedValueError,
    translated,
    upstream,
)
from eventstore.adapters.power_loop.messages import (
    NOTE,
    USUAL_ROLES,
    compared_seq,
    given_seq,
    message_of,
    row_of,
    session_row,
    stored_plain,
)
from eventstore.adapters.power_loop.rows import (
    CompactionRow,
    MessageRow,
    SessionKind,
    SessionRow,
    SessionStateRow,
    SubagentLifecycle,
    UsageRow,
)
from eventstore.adapters.power_loop.usage import commands_of as usage_commands
from eventstore.adapters.power_loop.usage import rows_of as usage_rows
from eventstore.errors import EventStoreError, NotAStoreError, SpawnDepthError, UnknownSessionError
from eventstore.events.catalogue import Kind, Lifecycle
from eventstore.files import make_private
from eventstore.log.engine import MEMORY, Durability
from eventstore.log.port import Actor
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.session.runs import chosen
from eventstore.session.state import SessionState
from eventstore.store import by_id, reads
from eventstore.store.session_store import SessionStore as Engine

#: What sessions of this adapter, and imported ones, have as their source.
SOURCE = "power-loop"

#: Events that leave `updated_at` as it is, as a JSON array.
QUIET = (
    '["round.advanced","tool_calls.suspended","tool_calls.settled","usage.recorded",'
    '"x.power-loop.usage","session.reparented","content.erased","content.redacted","hold.placed",'
    '"hold.released","export.created"]'
)

#: What `append_message` is given beside a role and a text where there is nothing else.
_NOTHING = (None,) * 3


class SessionStore:
    """The sessions of a power-loop agent, in one file of this engine.

    Every call does what the call of the same name does in `power_loop.runtime.session_store`;
    where it differs on purpose, `docs/adapters/power-loop.md` says so and why. `engine` is the
    engine's own store on the same file: history, search, audit.
    """

    def __init__(self, engine: Engine, path: str) -> None:
        self.engine = engine
        self.path = path
        self._log = engine.log

    @classmethod
    def open(
        cls,
        path: str | Path = rows.DEFAULT_DB_PATH,
        *,
        durability: Durability | str = Durability.NORMAL,
    ) -> SessionStore:
        """Open the file, creating it and the folders above; ``:memory:`` is kept in memory.

        `durability` ``full`` makes every call survive a power loss; the original's is ``normal``.
        Raises `NoStoreError` for a database that power-loop itself wrote, which is to be imported.
        """
        place = str(path)
        if place != MEMORY:
            file = Path(place).expanduser()
            make_private(file.parent)
            place = str(file)
        try:
            return cls(Engine.open(place, durability=durability), place)
        except NotAStoreError as error:
            raise NoStoreError(
                f"{error}; if power-loop wrote it, import it into a new file and open that one: "
                f"eventstore --db NEW_FILE import --format power-loop {place}"
            ) from error
        except EventStoreError as error:
            raise upstream(error) from error

    def close(self) -> None:
        """Close the file; harmless when it is closed already."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # -- sessions --------------------------------------------------------------------------

    @translated
    def create_session(
        self,
        *,
        system_prompt: str | None = None,
        model: str | None = None,
        config: dict[str, Any] | None = None,
        parent_session_id: str | None = None,
        spawn_tool_call_id: str | None = None,
        kind: SessionKind = SessionKind.ROOT,
        lifecycle: SubagentLifecycle = SubagentLifecycle.EPHEMERAL,
        metadata: dict[str, Any] | None = None,
        session_id: str | None = None,
    ) -> str:
        """Begin a session, below a parent if one is named; its id.

        Raises `ValueError` for an unknown parent or more than `MAX_SPAWN_DEPTH` levels, and
        `sqlite3.IntegrityError` for an id that is taken.
        """
        name = session_id or self.engine.new_id()
        command = do.Create(
            session_id=name,
            kind=Kind(kind if parent_session_id is None else SessionKind.SUBAGENT),
            lifecycle=Lifecycle(lifecycle),
            depth_max=rows.MAX_SPAWN_DEPTH,
            spawn_call_id=spawn_tool_call_id,
            source=SOURCE,
            prompt=system_prompt,
            model=model,
            configuration=stored_plain(config, "config"),
            metadata=stored_plain(metadata, "metadata"),
            actor=Actor.SYSTEM,
        )
        try:
            by_id.create(self._log, command, parent_session_id)
        except SpawnDepthError as error:
            depth = rows.MAX_SPAWN_DEPTH + 1
            raise SpawnDepthError(
                f"spawn depth {depth} exceeds max {rows.MAX_SPAWN_DEPTH}; {error}"
            ) from error
        return name

    @translated
    def get_session(self, session_id: str) -> SessionRow | None:
        """The session, None when there is none."""
        found = by_id.details_of(self._log, session_id, QUIET)
        return None if found is None else session_row(found)

    @translated
    def list_children(self, parent_session_id: str) -> list[SessionRow]:
        """The sessions spawned by this one, oldest first, also when it was closed since."""
        found = by_id.children_of(self._log, parent_session_id, QUIET)
        return [session_row(one) for one in found]

    @translated
    def archive_session(self, session_id: str) -> None:
        """Put the session away; it still takes messages. Nothing happens when there is none."""
        self._run_if_there(session_id, do.Archive(actor=Actor.SYSTEM))

    @translated
    def close_session(self, session_id: str, *, cascade: bool = True) -> int:
        """Close the session and, cascading, what it spawned; how many were closed.

        Detached children lose their parent and stay. The ids are free again; what was said stays
        in the log (`engine`) until it is erased there.
        """
        return close_tree(self._log, session_id, cascade=cascade)

    @translated
    def update_session_prompt(self, session_id: str, system_prompt: str | None) -> None:
        """Give the session another system prompt. Nothing happens when there is no session."""
        self._run_if_there(session_id, do.ChangePrompt(prompt=system_prompt, actor=Actor.SYSTEM))

    # -- messages --------------------------------------------------------------------------

    def append_message(
        self,
        session_id: str,
        *,
        role: str,
        content: str | None = None,
        tool_calls: list[dict[str, Any]] | None = None,
        tool_call_id: str | None = None,
        name: str | None = None,
        round_index: int | None = None,
        meta: dict[str, Any] | None = None,
    ) -> int:
        """Append a message; its seq. Raises `ValueError` when there is no session."""
        try:
            nothing_else = (tool_call_id, name, round_index) == _NOTHING and not tool_calls
            usual = type(role) is str and role in USUAL_ROLES
            if usual and nothing_else and not meta and type(content) is str:
                return by_id.append_plain(self._log, session_id, role, content)
            message = message_of(
                role=role, content=content, tool_calls=tool_calls, tool_call_id=tool_call_id,
                name=name, round_index=round_index, meta=meta,
            )  # fmt: skip
            command = do.Append(messages=(message,))
            recorded = by_id.run_one(self._log, session_id, command)
        except EventStoreError as error:  # what `translated` does, without the way through it
            raise upstream(error) from error
        return recorded[0].event.seq  # type: ignore[attr-defined, no-any-return]

    @translated
    def load_active_messages(self, session_id: str) -> list[MessageRow]:
        """What was not compacted away, in order of seq: a note comes after the messages kept."""
        stored = by_id.messages_of(self._log, session_id)
        if stored is None:
            return []
        state, views = stored
        found = [row_of(session_id, view) for view in views]
        if state.compactions:
            found.sort(key=lambda row: row.seq)
        return found

    @translated
    def load_all_messages(self, session_id: str) -> list[MessageRow]:
        """Every message, in order of seq."""
        found = by_id.state_of(self._log, session_id)
        if found is None:
            return []
        return [row_of(session_id, view) for view in reads.history(self._log, found[0], 0, None)]

    @translated
    def get_message(self, session_id: str, seq: int) -> MessageRow | None:
        """One message by its seq."""
        wanted = compared_seq(seq)
        found = by_id.state_of(self._log, session_id)
        if found is None or wanted is None:
            return None
        views = reads.history(self._log, found[0], wanted - 1, 1)
        return row_of(session_id, views[0]) if views and views[0].seq == wanted else None

    # -- compactions -----------------------------------------------------------------------

    @translated
    def record_compaction(
        self,
        session_id: str,
        *,
        from_seq: int,
        to_seq: int,
        note_content: str,
        before_tokens: int | None,
        after_tokens: int | None,
        round_index: int | None,
        note_meta: dict[str, Any] | None = None,
    ) -> tuple[int, int]:
        """Compact the messages with these seqs; the compaction's number and the note's seq.

        Of the range what is active counts; that may be nothing. Raises `ValueError` without
        session. All of it is one transaction.
        """
        from_seq, to_seq = given_seq(from_seq, "from_seq"), given_seq(to_seq, "to_seq")
        given = {
            "compacted_at_round": round_index, "from_seq": from_seq, "to_seq": to_seq,
            "original_tokens": before_tokens, "summary_tokens": after_tokens,
        }  # fmt: skip
        note = message_of(
            role="system", content=note_content, name=NOTE, round_index=round_index,
            meta={**dict(note_meta or {}), **given},
        )  # fmt: skip
        before = 0

        def decide(state: SessionState) -> Sequence[Command]:
            nonlocal before
            before = state.compactions
            taken = chosen(state.active, ((from_seq, max(0, to_seq - from_seq + 1)),))
            return (
                do.CompactSet(
                    runs=taken, note=note, tokens_before=before_tokens, tokens_after=after_tokens,
                    actor=Actor.MODEL,
                ),
            )  # fmt: skip

        recorded = by_id.run(self._log, session_id, decide)
        return before + 1, recorded[0].event.seq  # type: ignore[attr-defined]

    @translated
    def list_compactions(self, session_id: str) -> list[CompactionRow]:
        """The compactions, oldest first."""
        found = by_id.state_of(self._log, session_id)
        if found is None or not found[1].compactions:
            return []
        return list(self._compactions(session_id, found[0]))

    def _compactions(self, session_id: str, stream: int) -> Iterator[CompactionRow]:
        for one in reads.compactions(self._log, stream):
            note = row_of(session_id, reads.history(self._log, stream, one.seq - 1, 1)[0])
            yield CompactionRow(
                session_id=session_id,
                compact_seq=one.number,
                note_seq=one.seq,
                from_seq=note.meta.get("from_seq", one.from_seq),
                to_seq=note.meta.get("to_seq", one.to_seq),
                before_tokens=one.tokens_before,
                after_tokens=one.tokens_after,
                round_index=one.round,
                created_at=one.at // 1000,
            )

    # -- state -----------------------------------------------------------------------------

    @translated
    def get_state(self, session_id: str) -> SessionStateRow | None:
        """Where the session is, None when there is none."""
        found = by_id.state_of(self._log, session_id)
        if found is None:
            return None
        state = found[1]
        pending = None
        if state.pending_position is not None:
            pending = reads.pending_of(self._log, state)
        return SessionStateRow(
            session_id, state.next_seq, state.round, state.compactions, pending or None
        )

    @translated
    def set_round_index(self, session_id: str, round_index: int) -> None:
        """Say which round the loop is in. Nothing happens when there is no session."""
        if round_index is None:
            raise MissingValueError("a round is a whole number, not None")
        self._run_if_there(session_id, do.AdvanceRound(round=round_index, actor=Actor.SYSTEM))

    @translated
    def set_pending(self, session_id: str, pending: dict[str, Any] | None) -> None:
        """Leave tool calls pending, or settle them with None. Nothing happens without session."""
        command: Command = do.SettleToolCalls(actor=Actor.SYSTEM)
        if pending:
            payload = stored_plain(pending, "pending")
            ids = payload.get("tool_call_ids")
            named = isinstance(ids, list) and all(isinstance(one, str) for one in ids)
            command = do.SuspendToolCalls(
                payload=payload, call_ids=tuple(ids) if named else (), actor=Actor.SYSTEM
            )
        self._run_if_there(session_id, command)

    # -- usage -----------------------------------------------------------------------------

    @translated
    def record_usage(
        self,
        session_id: str,
        *,
        round_index: int,
        prompt_tokens: int | None,
        completion_tokens: int | None,
        total_tokens: int | None,
        model: str | None = None,
    ) -> None:
        """Record the tokens of a round, or correct them. Raises `ValueError` without session."""
        if round_index is None:
            raise MissingValueError("usage is of a round: give its number")
        tokens = (prompt_tokens, completion_tokens, total_tokens)
        if any(one is not None and not (isinstance(one, int) and one >= 0) for one in tokens):
            raise RefusedValueError(
                f"token counts are whole numbers from 0 or None, not {prompt_tokens}, "
                f"{completion_tokens}, {total_tokens}"
            )
        commands = usage_commands(
            round_index, prompt_tokens, completion_tokens, total_tokens, model
        )
        by_id.run(self._log, session_id, lambda _: commands)

    @translated
    def list_usage(self, session_id: str) -> list[UsageRow]:
        """The usage of every round, as last recorded, in order of rounds."""
        found = by_id.state_of(self._log, session_id)
        if found is None:
            return []
        return usage_rows(session_id, self._log.read_stream(found[0]))

    @translated
    def counts(self, session_id: str) -> dict[str, int]:
        """How many rows each of the original's tables would have for this session."""
        found = by_id.state_of(self._log, session_id)
        state = None if found is None else found[1]
        return {
            "sessions": int(state is not None),
            "messages": len(self.load_all_messages(session_id)),
            "compactions": state.compactions if state else 0,
            "usage_rounds": len(self.list_usage(session_id)),
            "session_state": int(state is not None),
        }

    def _run_if_there(self, session_id: str, command: Command) -> None:
        """Run a command on a session; the original says nothing when there is none."""
        try:
            by_id.run_one(self._log, session_id, command)
        except UnknownSessionError:
            return
