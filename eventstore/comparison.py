"""Comparing two moments: of one session, of a fork and its origin, of any two sessions.

Messages are aligned first. The same event of the log is the same message; other messages are
aligned by what they say (`difflib.SequenceMatcher`), and where neither helps, neighbours of one
role whose texts are alike are taken for a changed message. Then aligned messages are compared field
by field. Where a message is stored (seq, position, time, whether a fork took it over) is no
difference.

A diff is complete: applied to the one side it gives what the other side says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from difflib import SequenceMatcher
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from eventstore import codec
from eventstore.errors import InvalidValueError
from eventstore.store.views import AsOf, MessageView

#: The fields of a message that are compared.
FIELDS = (
    "role", "state", "text", "parts", "name", "tool_calls", "call_id", "tool_name", "failed",
    "reasoning", "reasoning_items", "metadata", "round", "tokens", "finish_reason", "response_id",
    "model", "stands_for", "erased",
)  # fmt: skip

#: What is compared of a session beside its messages.
SETTINGS = ("status", "title", "prompt", "model", "provider", "configuration")

#: How alike (0 to 1) the texts of a message that was changed must be, by their first characters.
ALIKE = 0.6
COMPARED_CHARACTERS = 2_000

#: So many messages ahead a changed message is looked for.
LOOK_AHEAD = 8


class FieldChange(Struct, frozen=True, kw_only=True):
    """A field with another value."""

    name: str
    before: Any
    after: Any


class MessageChange(Struct, frozen=True, kw_only=True):
    """A message that was removed, added or changed.

    `before` is the message of the first side and `before_index` its place there, from 0, None for
    an added one; `after` likewise. `fields` are what differs between the two.
    """

    kind: str
    before_index: int | None = None
    after_index: int | None = None
    before: MessageView | None = None
    after: MessageView | None = None
    fields: tuple[FieldChange, ...] = ()


class Diff(Struct, frozen=True, kw_only=True):
    """What leads from one side to the other; empty (false) when they say the same."""

    settings: tuple[FieldChange, ...]
    messages: tuple[MessageChange, ...]

    def __bool__(self) -> bool:
        return bool(self.settings or self.messages)

    def apply(self, side: AsOf) -> AsOf:
        """The first side, changed to say what the second one does.

        Messages that did not change keep their places in the log. Raises `InvalidValueError` when
        this is not the side that the diff leads from.
        """
        settings = {}
        for change in self.settings:
            _expect(change.name, getattr(side, change.name), change.before)
            settings[change.name] = change.after
        return replace(side, **settings, messages=tuple(self._applied(side.messages)))

    def _applied(self, messages: Sequence[MessageView]) -> list[MessageView]:
        result: list[MessageView | None] = list(messages)
        added: list[tuple[int, MessageView]] = []
        for change in self.messages:
            if change.before_index is None:
                assert change.after is not None
                assert change.after_index is not None
                added.append((change.after_index, change.after))
                continue
            found = messages[change.before_index : change.before_index + 1]
            _expect("message", found[0] if found else None, change.before)
            fields = {field.name: field.after for field in change.fields}
            result[change.before_index] = replace(found[0], **fields) if fields else None
        kept = [message for message in result if message is not None]
        for index, message in sorted(added, key=lambda one: one[0]):
            kept.insert(index, message)
        return kept


def diff(before: AsOf, after: AsOf, *, same_log: bool = True) -> Diff:
    """What leads from one moment to the other; `Session.as_of` gives moments.

    `same_log` False says that they are of different stores, where positions mean nothing.
    """
    settings = tuple(_fields(before, after, SETTINGS))
    return Diff(
        settings=settings,
        messages=tuple(_changes(before.messages, after.messages, same_log)),
    )


def _expect(what: str, found: object, expected: object) -> None:
    if found != expected:
        raise InvalidValueError(
            f"the diff leads from another {what}: it expects {expected!r}, there is {found!r}"
        )


def _fields(before: Any, after: Any, names: Sequence[str]) -> Iterator[FieldChange]:
    for name in names:
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            yield FieldChange(name=name, before=one, after=other)


def _changes(
    before: Sequence[MessageView], after: Sequence[MessageView], same_log: bool
) -> Iterator[MessageChange]:
    for old, new in _aligned(before, after, same_log):
        if old is None:
            assert new is not None
            yield MessageChange(kind="added", after_index=new, after=after[new])
        elif new is None:
            yield MessageChange(kind="removed", before_index=old, before=before[old])
        elif fields := tuple(_fields(before[old], after[new], FIELDS)):
            yield MessageChange(
                kind="changed",
                before_index=old,
                after_index=new,
                before=before[old],
                after=after[new],
                fields=fields,
            )


def _aligned(
    before: Sequence[MessageView], after: Sequence[MessageView], same_log: bool
) -> Iterator[tuple[int | None, int | None]]:
    """Places of both sides in order, None where one side has no such message."""
    old = new = 0
    for one, other in _same_events(before, after) if same_log else ():
        yield from _between(before, after, range(old, one), range(new, other))
        yield one, other
        old, new = one + 1, other + 1
    yield from _between(before, after, range(old, len(before)), range(new, len(after)))


def _same_events(
    before: Sequence[MessageView], after: Sequence[MessageView]
) -> Iterator[tuple[int, int]]:
    shared = {message.position for message in before} & {message.position for message in after}
    places = [
        [index for index, message in enumerate(side) if message.position in shared]
        for side in (before, after)
    ]
    olds = [before[index].position for index in places[0]]
    news = [after[index].position for index in places[1]]
    for old, new, size in SequenceMatcher(None, olds, news, autojunk=False).get_matching_blocks():
        yield from zip(places[0][old : old + size], places[1][new : new + size], strict=True)


def _between(
    before: Sequence[MessageView], after: Sequence[MessageView], olds: range, news: range
) -> Iterator[tuple[int | None, int | None]]:
    """Align two stretches by what is said in them."""
    keys, others = [_said(before[old]) for old in olds], [_said(after[new]) for new in news]
    for tag, a, b, c, d in SequenceMatcher(None, keys, others, autojunk=False).get_opcodes():
        if tag == "equal":
            yield from zip(olds[a:b], news[c:d], strict=True)
        else:
            yield from _paired(
                olds[a:b], news[c:d], lambda old, new: _alike(before[old], after[new])
            )


def _said(message: MessageView) -> bytes:
    calls = [(call.name, call.arguments) for call in message.tool_calls or ()]
    return codec.encode((message.role, message.text, message.parts, calls, message.erased))


def _paired(
    olds: Sequence[int], news: Sequence[int], alike: Callable[[int, int], bool]
) -> Iterator[tuple[int | None, int | None]]:
    """Both stretches in order, with the pairs that are alike together."""
    done = 0
    for old in olds:
        ahead = range(done, min(len(news), done + LOOK_AHEAD))
        found = next((index for index in ahead if alike(old, news[index])), None)
        if found is None:
            yield old, None
            continue
        yield from ((None, new) for new in news[done:found])
        yield old, news[found]
        done = found + 1
    yield from ((None, new) for new in news[done:])


def _alike(before: MessageView, after: MessageView) -> bool:
    if before.role != after.role:
        return False
    one, other = (_words(message) for message in (before, after))
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return matcher.quick_ratio() >= ALIKE and matcher.ratio() >= ALIKE


def _words(message: MessageView) -> list[str]:
    text = message.text
    if text is None:
        calls = [(call.name, call.arguments) for call in message.tool_calls or ()]
        text = codec.encode((message.parts, calls)).decode()
    return text[:COMPARED_CHARACTERS].split()
