"""A recorded session in the place of model and tools: a loop runs again without either.

A loop is given the recorded answers in order, as long as it asks what was asked then. At the first
difference `DivergenceError` holds both sides. Nothing is written, and no store is needed once the
recording is made.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from msgspec import Struct

from eventstore import codec
from eventstore.conversation import ChatMessage
from eventstore.errors import DivergenceError, ReplayError
from eventstore.replaying import comparing, scripts
from eventstore.replaying.exchanges import script_of
from eventstore.replaying.scripts import Result, Script
from eventstore.session import runs
from eventstore.store.points import Point
from eventstore.store.session import Session

T = TypeVar("T")


class PendingCall(Struct, frozen=True, kw_only=True):
    """A tool call that the model made and the loop has not run; `result` is None without one."""

    id: str | None
    name: str
    arguments: Any
    result: Result | None


class Recording:
    """What a model and the tools answered between two points of a session, to be given again.

    `ignore` leaves something out of every comparison: ``system`` (the system prompt), ``ids`` (of
    tool calls), ``blanks``. As a context manager it ends with `finish` unless something was raised.
    Raises `ReplayError` when there is nothing to replay.
    """

    def __init__(
        self,
        session: Session,
        *,
        after: Point = 0,
        upto: Point | None = None,
        ignore: Collection[str] = (),
    ) -> None:
        self._begin(script_of(session, after, upto), ignore)

    @classmethod
    def from_file(cls, path: str | Path, *, ignore: Collection[str] = ()) -> Self:
        """The recording in a fixture that `eventstore fixture` wrote; no store is needed."""
        return cls.from_script(scripts.load(path), ignore=ignore)

    @classmethod
    def from_script(cls, script: Script, *, ignore: Collection[str] = ()) -> Self:
        """The recording of a script."""
        made = cls.__new__(cls)
        made._begin(script, ignore)
        return made

    def _begin(self, script: Script, ignore: Collection[str]) -> None:
        self.script = script
        self._ignore = comparing.checked(ignore)
        self._next = 0
        self._notes = 0
        self._pending: list[PendingCall] = []
        self._normalised: dict[int, dict[str, Any]] = {}

    def __repr__(self) -> str:
        script = self.script
        return (
            f"<Recording of {script.session!r}, versions {script.after} to {script.upto}, "
            f"{self._next} of {len(script.exchanges)} calls done>"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()

    # -- what a loop begins with -----------------------------------------------------------

    @property
    def start(self) -> list[ChatMessage]:
        """The context before the first message, the system prompt first if there was one."""
        return _copy(self.script.at(self.script.start))

    @property
    def inputs(self) -> list[ChatMessage]:
        """The messages that came from neither model nor tools, in order: the user's."""
        return _copy([self.script.messages[place] for place in self.script.inputs])

    # -- what it asks for ------------------------------------------------------------------

    def model(self, messages: Sequence[Mapping[str, Any]]) -> ChatMessage:
        """The next recorded answer, if the model is sent what it was sent then.

        `messages` are OpenAI chat messages. Raises `DivergenceError`, also when the model was not
        called any more.
        """
        exchanges = self.script.exchanges
        number = self._next + 1
        if self._next == len(exchanges):
            made = comparing.normalised(messages, self._ignore)
            raise _diverged(f"model call {number} is one more than was recorded", None, made)
        exchange = exchanges[self._next]
        made = comparing.normalised(messages, self._ignore)
        wanted = [self._compared(place) for place in runs.numbers_of(exchange.request)]
        if "system" in self._ignore:
            wanted, made = comparing.without_prompt(wanted, made, exchange.prompted)
        if wanted != made:
            place = f"model call {number} of {len(exchanges)} (after version {exchange.version})"
            raise _diverged(f"{place} asks something else than was recorded", wanted, made)
        self._next += 1
        response = _copy(self.script.messages[exchange.response])
        self._pending = _calls(response, exchange.results)
        return response

    def _compared(self, place: int) -> dict[str, Any]:
        """A recorded message as it is compared; most are in many requests."""
        found = self._normalised.get(place)
        if found is None:
            [found] = comparing.normalised([self.script.messages[place]], self._ignore)
            self._normalised[place] = found
        return found

    def tool(self, name: str, arguments: Any = None) -> Any:
        """The recorded result of a tool call, as the content of its chat message.

        The calls of the last answer can be run in any order, each once. Raises `DivergenceError`
        for a call that it did not make, `ReplayError` for one without a recorded result.
        """
        made = {"name": name, "arguments": comparing.arguments_of(arguments)}
        for index, call in enumerate(self._pending):
            if call.name == name and call.arguments == made["arguments"]:
                if call.result is None:
                    raise ReplayError(f"no result of the tool call {call.id!r} was recorded")
                del self._pending[index]
                return _copy(call.result.content)
        expected = [{"name": call.name, "arguments": call.arguments} for call in self._pending]
        raise _diverged(
            f"after model call {self._next} a tool is called otherwise than was recorded",
            expected[0] if len(expected) == 1 else expected or None,
            made,
        )

    def note(self) -> Any:
        """The content of the next compaction's note, for a loop that has its context summarised.

        Raises `DivergenceError` when there were no more compactions.
        """
        if self._notes == len(self.script.notes):
            raise _diverged("a compaction is one more than was recorded", None, None)
        note = self.script.messages[self.script.notes[self._notes]]
        self._notes += 1
        return _copy(note["content"])

    # -- where it is -----------------------------------------------------------------------

    @property
    def expected(self) -> list[ChatMessage] | None:
        """What the model is to be sent next, None when it is not called any more."""
        if self._next == len(self.script.exchanges):
            return None
        return _copy(self.script.at(self.script.exchanges[self._next].request))

    @property
    def pending(self) -> list[PendingCall]:
        """The tool calls of the last answer that were not run yet."""
        return list(self._pending)

    def finish(self) -> None:
        """Raise `DivergenceError` unless the model was called as often as was recorded."""
        expected = self.expected
        if expected is not None:
            raise _diverged(
                f"the loop ended after {self._next} of {len(self.script.exchanges)} model calls",
                comparing.normalised(expected, self._ignore),
                None,
            )


def _copy(value: T) -> T:
    """A copy that the loop may change; what was recorded is JSON."""
    copy: T = codec.decode(codec.encode(value))
    return copy


def _calls(response: ChatMessage, results: Sequence[Result]) -> list[PendingCall]:
    answered = {result.id: result for result in results}
    return [
        PendingCall(result=answered.get(call["id"]), **call)
        for call in map(comparing.call_of, response.get("tool_calls", ()))
    ]


def _diverged(what: str, expected: Any, made: Any) -> DivergenceError:
    return DivergenceError(what, expected, made, comparing.difference(expected, made))
