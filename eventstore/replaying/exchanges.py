"""From a session to a script: what its loop was given, call by call.

An assistant's message was the answer of a model; the request was the context that the session had
just before, as `Session.chat` gives it, so compactions and rewinds show in it as the model saw
them. Assistant messages that follow each other in one response are one answer, by the rules of
`eventstore.conversation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from eventstore import codec
from eventstore.conversation import ChatMessage, to_chat
from eventstore.errors import ReplayError
from eventstore.events.catalogue import ContextCompacted, MessageAppended
from eventstore.replaying.scripts import SCHEMA, Exchange, Result, Script
from eventstore.session import runs
from eventstore.session.runs import Runs
from eventstore.session.state import SessionState
from eventstore.store.points import Point
from eventstore.store.session import Session
from eventstore.store.views import MessageView

#: Messages read at once.
_PAGE = 500


def script_of(session: Session, after: Point = 0, upto: Point | None = None) -> Script:
    """The script of a session between two points.

    Raises `ReplayError` when no model answered there, or when text was erased that it needs.
    """
    making = _Making(session)
    first = session.version_at(after)
    last = session.version if upto is None else session.version_at(upto)
    for step in session.replay(after=first, upto=last, content=False):
        making.take(step.event.event, step.before)
    exchanges = tuple(making.exchanges())
    if not exchanges:
        raise ReplayError(
            f"session {session.name!r} has no answer of a model from version {first} to {last}"
        )
    return Script(
        fixture=SCHEMA,
        session=session.name,
        after=first,
        upto=last,
        messages=making.pool,
        start=making.start,
        inputs=making.inputs(),
        notes=making.notes(),
        exchanges=exchanges,
    )


class _Draft(NamedTuple):
    """An exchange while its results still come."""

    version: int
    prompted: bool
    request: Runs
    answer: list[MessageView]
    results: list[MessageView]


class _Making:
    """A script while the session's events are gone through.

    What requests hold is given its place first, in the order of the context, so that a request is a
    few runs of places.
    """

    def __init__(self, session: Session) -> None:
        self.pool: list[ChatMessage] = []
        self.start: Runs = ()
        self._inputs: list[MessageView] = []
        self._notes: list[MessageView] = []
        self._begun = False
        self._session = session
        self._views = {view.seq: view for view in _history(session)}
        self._places: dict[bytes, int] = {}
        self._prompts: dict[int, str] = {}
        self._drafts: list[_Draft] = []
        self._open: dict[str, _Draft] = {}

    def take(self, event: object, before: SessionState) -> None:
        """One more event, and the state before it."""
        if not isinstance(event, MessageAppended | ContextCompacted):
            return
        if not self._begun:
            self.start, self._begun = self._request(before), True
        view = self._view(event.seq)
        if isinstance(event, ContextCompacted):
            self._notes.append(view)
        elif event.role == "tool":
            draft = self._open.pop(view.call_id or "", None)
            if draft is not None:
                draft.results.append(view)
        elif event.role != "assistant":
            self._inputs.append(view)
        else:
            self._take_answer(view, before)

    def _take_answer(self, view: MessageView, before: SessionState) -> None:
        if self._drafts and _continues(self._drafts[-1].answer[-1], view, before):
            draft = self._drafts[-1]
            draft.answer.append(view)
        else:
            prompted = self._prompt(before) is not None
            draft = _Draft(before.version, prompted, self._request(before), [view], [])
            self._drafts.append(draft)
        self._open.update({call.id: draft for call in view.tool_calls or () if call.id is not None})

    def inputs(self) -> tuple[int, ...]:
        """The places of the messages that came from neither model nor tool."""
        return tuple(self._place(to_chat([view])[0]) for view in self._inputs)

    def notes(self) -> tuple[int, ...]:
        """The places of the compactions' notes."""
        return tuple(self._place(to_chat([view])[0]) for view in self._notes)

    def exchanges(self) -> Iterator[Exchange]:
        """The exchanges that were taken, each with the results that came for it."""
        for draft in self._drafts:
            chat = to_chat([*draft.answer, *draft.results], unanswered="keep")
            if not chat:  # an answer with neither text nor calls is in no context either
                continue
            failed = {view.call_id for view in draft.results if view.failed}
            yield Exchange(
                version=draft.version,
                prompted=draft.prompted,
                request=draft.request,
                response=self._place(chat[0]),
                results=tuple(
                    Result(id=one["tool_call_id"], content=one["content"],
                           failed=one["tool_call_id"] in failed)
                    for one in chat[1:]
                ),
            )  # fmt: skip

    def _request(self, state: SessionState) -> Runs:
        """The places of what a model is sent in this state."""
        views = [self._view(seq) for seq in runs.numbers_of(state.active)]
        chat = to_chat(views, prompt=self._prompt(state))
        return runs.from_numbers(self._place(message) for message in chat)

    def _prompt(self, state: SessionState) -> str | None:
        position = state.prompt_position
        if position is None:
            return None
        if position not in self._prompts:
            prompt = self._session.prompt(state.version)
            if prompt is None:
                raise ReplayError(
                    f"the system prompt at version {state.version} was erased, so what the model "
                    "was sent is not known"
                )
            self._prompts[position] = prompt
        return self._prompts[position]

    def _view(self, seq: int) -> MessageView:
        view = self._views[seq]
        if view.erased:
            raise ReplayError(
                f"message {seq} was erased, so what the model was sent is not known; choose points "
                "between which it does not show"
            )
        return view

    def _place(self, message: ChatMessage) -> int:
        """The place of a message among all, where it is put when it is new."""
        key = codec.encode(message)
        place = self._places.setdefault(key, len(self.pool))
        if place == len(self.pool):
            self.pool.append(message)
        return place


def _continues(last: MessageView, view: MessageView, before: SessionState) -> bool:
    """Whether a message belongs to the same response as the one before it."""
    return (
        view.response_id is not None
        and view.response_id == last.response_id
        and before.next_seq == last.seq + 1
        and runs.index_of(before.active[-1:], last.seq) is not None
    )


def _history(session: Session) -> Iterator[MessageView]:
    seq = 0
    while page := session.history(after=seq, limit=_PAGE):
        yield from page
        seq = page[-1].seq
