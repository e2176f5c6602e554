"""Events to stored bytes and back: the only place that knows both.

An event is stored as its type's name, its schema number, its facts as JSON and its content as
JSON. `read` is the one point where stored bytes become events: older schemas are upcast there,
and what this version does not know comes back as an `UnknownEvent`, raw and never dropped.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import force_setattr, replace

from eventstore import codec
from eventstore.errors import (
    EventFormatError,
    InvalidValueError,
    NotJSONError,
    SchemaTooNewError,
)
from eventstore.events import plain_text
from eventstore.events.catalogue import (
    CATALOGUE,
    Content,
    CustomEvent,
    Event,
    MessageAppended,
    MessageContent,
    UnknownEvent,
)
from eventstore.events.upcasting import upcast

#: A custom event's type: ASCII, at most 64 characters, in the ``x.`` namespace.
CUSTOM_NAME = re.compile(r"x(\.[a-z0-9_-]+){2,}", re.ASCII)
NAME_MAX = 64

CLASSES: dict[str, type[Event]] = {cls.type: cls for cls in CATALOGUE}

_facts_decoders = {cls.type: msgspec.json.Decoder(cls) for cls in CATALOGUE}
_content_decoders: dict[str, msgspec.json.Decoder[Any]] = {
    cls.type: msgspec.json.Decoder(cls.content_type)
    for cls in CATALOGUE
    if cls.content_type is not None
}


class _Type(NamedTuple):
    """A type of the catalogue as it is written: its columns, and what reads them back."""

    name: str
    schema: int
    commutes: bool
    read_facts: Callable[[bytes], Event]
    holds_text_alone: Callable[[Any], bool]


_types = {
    cls: _Type(
        cls.type,
        cls.schema,
        cls.commutes,
        _facts_decoders[cls.type].decode,
        plain_text.test_for(cls.content_type),
    )
    for cls in CATALOGUE
}


class StoredForm(NamedTuple):
    """What the log writes of an event; `body` is None when the event has no content."""

    name: str
    schema: int
    facts: bytes
    body: bytes | None
    commutes: bool


def store(event: Event) -> StoredForm:
    """The bytes of an event, which `read` and `read_content` give back equal.

    Raises `NotJSONError` when a value has no JSON form or another type than its field, and
    `InvalidValueError` for a custom name outside its namespace or an event of an unknown type.
    """
    kind = _types.get(type(event))
    if kind is None:
        return _store_custom(event)
    name, schema, commutes, read_facts, holds_text_alone = kind
    content = event.content
    bare = event if content is None else replace(event, content=None)
    if content is None or holds_text_alone(content):
        try:
            body = None if content is None else codec.encode_simply(content)
            facts = codec.encode_simply(bare)
            if read_facts(facts) == bare:
                return tuple.__new__(StoredForm, (name, schema, facts, body, commutes))
        except codec.NOT_SIMPLE:
            pass  # a lone surrogate, or what is refused below, with the reason
    body = None if content is None else codec.encode(content)
    form = StoredForm(name, schema, codec.encode(bare), body, commutes)
    _check(event, form)
    return form


def store_plain(seq: int, role: str, text: str) -> tuple[bytes, bytes]:
    """Facts and body of a message of a usual role that is a text and nothing else.

    They are not read back: a number, one of a few roles and a text cannot come back as anything
    else. Raises one of `codec.NOT_SIMPLE` for a lone surrogate, which `store` knows to store.
    """
    facts = codec.encode_simply(MessageAppended(seq=seq, role=role))
    return facts, codec.encode_simply(MessageContent(text=text))


def _store_custom(event: Event) -> StoredForm:
    name = name_of(event)
    if type(event) is not CustomEvent:
        raise InvalidValueError(f"an event of unknown type {name!r} cannot be appended")
    facts = _custom_facts(event)
    body = None if event.content is None else codec.encode(event.content)
    form = StoredForm(name, event.schema, facts, body, event.commuting)
    _check(event, form)
    return form


def _check(event: Event, form: StoredForm) -> None:
    """Refuse an event whose stored form says something else, or cannot be read by everybody."""
    _check_facts(form.name, form.facts)
    for value in (form.facts, form.body):
        if value is not None:
            _check_depth(form.name, value)
    _check_readable(event, form)


def _check_facts(name: str, facts: bytes) -> None:
    """Projections keep facts in columns, which hold text: no half of a surrogate pair."""
    if b"\\" in facts and b"\\ud" in facts:
        try:
            msgspec.json.decode(facts)
        except msgspec.DecodeError:
            raise NotJSONError(
                f"{name}: an id or a name holds a lone surrogate, which only content can hold"
            ) from None


def _check_depth(name: str, value: bytes) -> None:
    """Refuse nesting that other readers of the JSON would stumble over."""
    # Looking for one byte is quick, counting it is not, and most texts hold no bracket.
    if (value.find(b"[") >= 0 or value.find(b"{", 1) >= 0) and (
        value.count(b"[") + value.count(b"{") > codec.DEPTH_MAX
    ):
        codec.require_depth(codec.decode(value), name)


def _check_readable(event: Event, form: StoredForm) -> None:
    """What is stored must come back equal: values JSON would change are refused here."""
    name = form.name
    try:
        content = None if form.body is None else read_content(name, form.schema, form.body)
        same = read(name, form.schema, form.facts, content) == event
    except EventFormatError as error:
        raise NotJSONError(f"{name}: {error}") from error
    if not same:
        codec.require_json(msgspec.to_builtins(event.content), f"the content of {name}")
        raise NotJSONError(f"{name}: JSON would change a value of {event!r}")


def _custom_facts(event: CustomEvent) -> bytes:
    if len(event.name) > NAME_MAX or not CUSTOM_NAME.fullmatch(event.name):
        raise InvalidValueError(
            f"a custom event's name is x.<namespace>.<name> in lower case, at most {NAME_MAX} "
            f"characters, not {event.name!r}"
        )
    facts: dict[str, Any] = {"data": event.data, "commuting": event.commuting}
    if event.occurred_at is not None:
        facts["occurred_at"] = event.occurred_at
    return codec.encode(facts)


def read(name: str, schema: int, facts: bytes, content: Any = None) -> Event:
    """The event with these stored facts and this (already decoded) content.

    Raises `EventFormatError` when the facts do not fit their type.
    """
    decoder = _facts_decoders.get(name)
    if decoder is None or schema > CLASSES[name].schema:
        return _read_foreign(name, schema, facts, content)
    if schema < CLASSES[name].schema:
        event = codec.convert(upcast(name, schema, codec.decode(facts)), CLASSES[name])
    else:
        event = codec.decode_as(facts, decoder)
    if content is not None:
        force_setattr(event, "content", content)
    return event


def _read_foreign(name: str, schema: int, facts: bytes, content: Any) -> Event:
    value = codec.decode(facts)
    if not isinstance(value, dict):
        raise EventFormatError(f"the facts of {name!r} are no JSON object: {value!r}")
    if CUSTOM_NAME.fullmatch(name) and schema == 1:
        return CustomEvent(
            name=name,
            data=value.get("data", {}),
            commuting=value.get("commuting", False),
            occurred_at=value.get("occurred_at"),
            content=content,
        )
    return UnknownEvent(name=name, number=schema, facts=value, content=content)


def read_content(name: str, schema: int, body: bytes) -> Any:
    """The content in `body`, typed where this version knows the type."""
    decoder = _content_decoders.get(name)
    if decoder is None or schema > CLASSES[name].schema:
        return codec.decode(body)
    return codec.decode_as(body, decoder)


def type_content(name: str, schema: int, value: Any) -> Any:
    """Give content that was decoded as plain JSON the type it has in the catalogue."""
    cls = CLASSES.get(name)
    if cls is None or cls.content_type is None or schema > cls.schema:
        return value
    content: Content = codec.convert(value, cls.content_type)
    return content


def name_of(event: Event) -> str:
    """The stored type name of an event."""
    kind = type(event)
    if kind is CustomEvent or kind is UnknownEvent:
        name: str = event.name  # type: ignore[attr-defined]
        return name
    return event.type


def commutes(event: Event) -> bool:
    """Whether the order of this event among others of its session does not matter."""
    if type(event) is CustomEvent:
        return event.commuting
    return event.commutes


def require_known(event: Event) -> None:
    """Raise `SchemaTooNewError` for a known type in a schema that this version cannot read."""
    if isinstance(event, UnknownEvent) and event.name in CLASSES:
        raise SchemaTooNewError(
            f"{event.name} has schema {event.number}, this version reads up to "
            f"{CLASSES[event.name].schema}; update agent-eventstore"
        )


_plain = msgspec.json.Decoder()

#: What decodes the facts and the content of a present type and schema, which needs no upcasting:
#: the quick way for columns of many rows. Raises one of `UNREAD` where only `read` and
#: `read_content` can tell what they are, or what is wrong with them.
PRESENT: dict[tuple[str, int], tuple[Callable[[str], Event], Callable[[bytes], Any]]] = {
    (cls.type, cls.schema): (
        _facts_decoders[cls.type].decode,
        _content_decoders.get(cls.type, _plain).decode,
    )
    for cls in CATALOGUE
}
FACTS: dict[tuple[str, int], Callable[[str], Event]] = {
    kind: decode_facts for kind, (decode_facts, _) in PRESENT.items()
}
UNREAD = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
