r"""Conditions on an event, as people type them: ``tool=bash and text~"permission denied"``.

A condition is one or more terms joined by ``and``. A term is a field, an operator and a value; a
value with blanks stands in double quotes, in which ``\"`` and ``\\`` stand for themselves.

=========  =====  ==============================================================================
field      op     an event matches when
=========  =====  ==============================================================================
type       = ~    its type is the value
role       = ~    it appends a message, or a note, of this role
tool       = ~    it is a message that calls this tool, or the tool's result
call       =      it is a message that makes, or answers, the call with this id
seq        =      it appends the message with this number
round      =      it carries this round
version    =      it is the session's event of this version
text       ~      its content holds the value
=========  =====  ==============================================================================

``=`` compares exactly, ``~`` looks for the value anywhere within, whatever the case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from eventstore import codec
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import MessageContent
from eventstore.events.stored import name_of
from eventstore.log.port import Recorded

_TERM = re.compile(r'\s*([a-z]+)\s*([=~])\s*("(?:[^"\\]|\\.)*"|[^\s"=~][^\s"]*)')
_AND = re.compile(r"\s+and\s+")


def _fact(name: str) -> Callable[[Recorded], Iterable[Any]]:
    def values(recorded: Recorded) -> Iterable[Any]:
        yield getattr(recorded.event, name, None)

    return values


def _tools(recorded: Recorded) -> Iterator[Any]:
    content = recorded.event.content
    if isinstance(content, MessageContent):
        yield content.tool_name
        yield from (call.name for call in content.tool_calls or ())


def _calls(recorded: Recorded) -> Iterator[Any]:
    yield getattr(recorded.event, "call_id", None)
    yield from getattr(recorded.event, "call_ids", ())


def _texts(recorded: Recorded) -> Iterator[str]:
    """Every text in the content, at any depth, and what is not text as JSON."""
    waiting = [codec.decode(codec.encode(recorded.event.content))]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)
        elif value is not None:
            yield value if isinstance(value, str) else codec.encode(value).decode()


class _Field(NamedTuple):
    """What a term can ask for: the operators allowed, and the values that an event has."""

    operators: str
    values: Callable[[Recorded], Iterable[Any]]
    whole: bool = False


_FIELDS = {
    "type": _Field("=~", lambda recorded: (name_of(recorded.event),)),
    "role": _Field("=~", _fact("role")),
    "tool": _Field("=~", _tools),
    "call": _Field("=", _calls),
    "seq": _Field("=", _fact("seq"), whole=True),
    "round": _Field("=", _fact("round"), whole=True),
    "version": _Field("=", lambda recorded: (recorded.version,), whole=True),
    "text": _Field("~", _texts),
}

#: What is allowed, for error messages.
ALLOWED = "; ".join(
    f"{name} with {' or '.join(field.operators)}" for name, field in _FIELDS.items()
)


class Term(NamedTuple):
    """One comparison; `value` is a number for the fields that are numbers."""

    field: str
    operator: str
    value: str | int

    def matches(self, recorded: Recorded) -> bool:
        """Whether an event, read with its content, is meant."""
        values = _FIELDS[self.field].values(recorded)
        if self.operator == "=":
            return any(value == self.value and value is not None for value in values)
        wanted = str(self.value).casefold()
        return any(wanted in value.casefold() for value in values if isinstance(value, str))


class Condition(NamedTuple):
    """Terms that must all hold."""

    terms: tuple[Term, ...]

    def matches(self, recorded: Recorded) -> bool:
        """Whether an event, read with its content, is meant."""
        return all(term.matches(recorded) for term in self.terms)


def parse(text: str) -> Condition:
    """The condition that a text says; raises `InvalidValueError`, which says what is allowed."""
    terms = []
    place = 0
    while True:
        found = _TERM.match(text, place)
        if found is None:
            raise _wrong(text, f"a term was expected at {text[place:].strip()[:40]!r}")
        terms.append(_term(text, *found.groups()))
        place = found.end()
        if not text[place:].strip():
            return Condition(tuple(terms))
        joint = _AND.match(text, place)
        if joint is None:
            raise _wrong(text, f"'and' was expected at {text[place:].strip()[:40]!r}")
        place = joint.end()


def _term(text: str, name: str, operator: str, value: str) -> Term:
    field = _FIELDS.get(name)
    if field is None:
        raise _wrong(text, f"there is no field {name!r}")
    if operator not in field.operators:
        raise _wrong(text, f"{name} does not go with {operator}")
    if value.startswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL)
    if not field.whole:
        return Term(name, operator, value)
    if not (value.isascii() and value.isdigit() and len(value) < 19):
        raise _wrong(text, f"{name} is a whole number, not {value!r}")
    return Term(name, operator, int(value))


def _wrong(text: str, reason: str) -> InvalidValueError:
    return InvalidValueError(
        f"{text[:200]!r} is no condition: {reason}. Terms like tool=bash are joined by 'and', "
        f"values with blanks quoted; there is {ALLOWED}"
    )
