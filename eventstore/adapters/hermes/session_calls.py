"""The calls of `SessionDB` about one session: its life, its counters and its title."""

from __future__ import annotations

import secrets
from typing import Any

from eventstore.adapters.hermes import errors, rows, titles
from eventstore.adapters.hermes.connection import Connection
from eventstore.adapters.hermes.errors import translated
from eventstore.errors import SessionClosedError, SessionExistsError, TitleTakenError
from eventstore.events.catalogue import Lifecycle, UsageRecorded
from eventstore.log.port import Actor
from eventstore.session import commands as do
from eventstore.session.commands import Command
from eventstore.store import titles as title_queries
from eventstore.store.listing import SessionDetails
from projections.queries.listing import Which


class SessionCalls(Connection):
    """Creating, ending, counting, naming and finding sessions."""

    MAX_TITLE_LENGTH = titles.MAX_TITLE_LENGTH

    def create_session(
        self,
        session_id: str,
        source: str,
        model: str | None = None,
        model_config: dict[str, Any] | None = None,
        system_prompt: str | None = None,
        user_id: str | None = None,
        parent_session_id: str | None = None,
        *,
        started_at: float | None = None,
    ) -> str:
        """Begin a session unless it is there; its id. `started_at` is now unless given.

        Raises `sqlite3.IntegrityError` without an id or a source or when there is no such parent,
        and `ValueError` for an id that cannot name a session.
        """
        if self._details(session_id) is not None:
            return session_id
        if session_id is None:
            raise errors.missing("sessions.id")
        if source is None:
            raise errors.missing("sessions.source")
        for name, value in (
            ("session_id", session_id), ("source", source), ("model", model),
            ("system_prompt", system_prompt), ("user_id", user_id),
        ):  # fmt: skip
            errors.require_text(value, name)
        configuration = rows.configuration_of(model_config)
        parent = None
        if parent_session_id is not None:
            parent = self._session(parent_session_id)
            if parent is None:
                raise errors.unknown_session(parent_session_id)
        with translated():
            try:
                self.store.create(
                    session_id,
                    source=source,
                    model=model,
                    prompt=system_prompt,
                    configuration=configuration,
                    metadata=None if user_id is None else {"user_id": user_id},
                    parent=parent,
                    lifecycle=Lifecycle.DETACHED,
                    occurred_at=rows.micros(started_at),
                )
            except SessionExistsError:  # somebody else was faster: the first one wins
                pass
            except SessionClosedError as error:
                raise errors.unknown_session(parent_session_id) from error
        return session_id

    def ensure_session(
        self, session_id: str, source: str = "unknown", model: str | None = None
    ) -> None:
        """Begin a session unless it is there."""
        self.create_session(session_id, source, model=model)

    def end_session(self, session_id: str, end_reason: str) -> None:
        """Mark a session as ended now; an earlier end and its reason are replaced."""
        errors.require_text(end_reason, "end_reason")
        self._do(session_id, do.End(reason=end_reason))

    def reopen_session(self, session_id: str) -> None:
        """Take the end of a session back."""
        self._do(session_id, do.Reopen())

    def update_system_prompt(self, session_id: str, system_prompt: str) -> None:
        """Keep the prompt that the session runs with; the same one again stores nothing."""
        errors.require_text(system_prompt, "system_prompt")
        found = self._details(session_id)
        if found is not None and found.prompt != system_prompt:
            self._do(session_id, do.ChangePrompt(prompt=system_prompt))

    def update_token_counts(
        self,
        session_id: str,
        input_tokens: int = 0,
        output_tokens: int = 0,
        model: str | None = None,
        cache_read_tokens: int = 0,
        cache_write_tokens: int = 0,
        reasoning_tokens: int = 0,
        estimated_cost_usd: float | None = None,
        actual_cost_usd: float | None = None,
        cost_status: str | None = None,
        cost_source: str | None = None,
        pricing_version: str | None = None,
        billing_provider: str | None = None,
        billing_base_url: str | None = None,
        billing_mode: str | None = None,
    ) -> None:
        """Add the tokens and the cost of a model call to those of the session.

        The newest status, source and version of the price are kept, and the first model and
        billing. A session that is not there is begun. Raises `ValueError` for a negative count.
        """
        self.ensure_session(session_id, model=model)
        usage = UsageRecorded(
            key=f"call_{secrets.token_hex(8)}",
            model=model,
            provider=billing_provider,
            input=input_tokens,
            output=output_tokens,
            cache_read=cache_read_tokens,
            cache_write=cache_write_tokens,
            reasoning=reasoning_tokens,
            cost_nanos=None if estimated_cost_usd is None else round(estimated_cost_usd * 1e9),
            currency=None if estimated_cost_usd is None else "USD",
            cost_source=cost_source,
        )
        newest = {
            "cost_status": cost_status, "cost_source": cost_source,
            "pricing_version": pricing_version,
        }  # fmt: skip
        first = {
            "billing_provider": billing_provider, "billing_base_url": billing_base_url,
            "billing_mode": billing_mode,
        }  # fmt: skip

        def decide(found: SessionDetails) -> list[Command]:
            kept = dict(found.configuration)
            kept |= {name: value for name, value in newest.items() if value is not None}
            for name, value in first.items():
                if value is not None and kept.get(name) is None:
                    kept[name] = value
            if actual_cost_usd is not None:
                kept[rows.ACTUAL_COST] = kept.get(rows.ACTUAL_COST, 0.0) + actual_cost_usd
            commands: list[Command] = [do.RecordUsage(usage=usage, actor=Actor.SYSTEM)]
            if found.model is None and model is not None:
                commands.append(do.ChangeModel(model=model))
            if kept != found.configuration:
                commands.append(do.ChangeConfiguration(configuration=kept))
            return commands

        self._decided(session_id, decide)

    def get_session(self, session_id: str) -> dict[str, Any] | None:
        """The row of a session, None when there is none."""
        found = self._details(session_id)
        return None if found is None else rows.session_row(found)

    def resolve_session_id(self, session_id_or_prefix: str | None) -> str | None:
        """The session with this id, or the only one whose id begins so, else None."""
        errors.require_text(session_id_or_prefix, "session_id_or_prefix")
        if session_id_or_prefix is None:
            return None
        if self._details(session_id_or_prefix) is not None:
            return session_id_or_prefix
        found = self._listed(Which(prefix=session_id_or_prefix), limit=2)
        return found[0].session_id if len(found) == 1 else None

    # -- titles ----------------------------------------------------------------------------

    sanitize_title = staticmethod(titles.sanitize_title)

    def set_session_title(self, session_id: str, title: str | None) -> bool:
        """Give a session a title that no other one has, or take it away; whether it is there.

        Raises `ValueError` when another session has the title, or it is too long.
        """
        cleaned = titles.sanitize_title(title)
        errors.require_text(cleaned, "title")
        try:
            if cleaned is not None:  # a title that was set otherwise may not be claimed
                holder = title_queries.newest(self.store.log, cleaned)
                if holder is not None and holder.session_id != session_id:
                    raise TitleTakenError(cleaned, holder.session_id)
            return self._do(session_id, do.SetTitle(title=cleaned, unique=cleaned is not None))
        except TitleTakenError as error:
            raise ValueError(
                f"Title '{error.title}' is already in use by session {error.session}"
            ) from error

    def get_session_title(self, session_id: str) -> str | None:
        """The title of a session."""
        found = self._details(session_id)
        return None if found is None else found.title

    def get_session_by_title(self, title: str) -> dict[str, Any] | None:
        """The row of the session with exactly this title."""
        found = title_queries.newest(self.store.log, title)
        return None if found is None else self.get_session(found.session_id)

    def resolve_session_by_title(self, title: str) -> str | None:
        """The session that continued this title last (``title #2`` …), else the one that has it."""
        found = title_queries.newest_of_lineage(self.store.log, title)
        return None if found is None else found.session_id

    def get_next_title_in_lineage(self, base_title: str) -> str:
        """The next free title: ``base``, ``base #2`` …, one above the highest number in use."""
        return title_queries.next_title(self.store.log, base_title)
