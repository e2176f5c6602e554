"""`Redactor`: marks in the place of what its detectors find in content.

Every text of a content is looked through, however deep it lies: texts, parts, tool arguments and
results, titles, prompts, metadata, imported records, and the keys of objects. Two things are left
as they are: the session's id, which is its name (erasing a session takes it out), and the ids of
tool calls, which stand in the facts as well. Facts are never looked at, and in content no numbers
are.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from eventstore.errors import EventFormatError, RedactionError
from eventstore.events.catalogue import ContentRedacted, Event, Replaced
from eventstore.importers import references
from eventstore.log.port import Actor, NewEvent
from eventstore.redaction.detectors import (
    DEFAULT,
    Detector,
    KeyDetector,
    require_detector,
)
from eventstore.redaction.marks import mark_of, marks_in

#: Fields of a content that are named with the number of their element.
_NUMBERED = ("parts", "tool_calls", "reasoning_items")

#: How often a text is looked through again after something was found.
PASSES_MAX = 10


class FoundText(NamedTuple):
    """A text that was found: in which part of a content, by which detector."""

    part: str
    detector: str
    text: str


class Examined(Struct, frozen=True, kw_only=True):
    """The content of an event as it may be kept, and what was found in it."""

    content: Any
    found: tuple[FoundText, ...]

    @property
    def replaced(self) -> tuple[Replaced, ...]:
        """What was found as events tell it, without the texts."""
        counts = Counter((one.part, one.detector) for one in self.found)
        return tuple(
            Replaced(part=part, detector=detector, count=count)
            for (part, detector), count in sorted(counts.items())
        )


class Redactor:
    """Finds and replaces; given to `SessionStore.open`, it does so before anything is written."""

    def __init__(self, detectors: Sequence[Detector] = DEFAULT) -> None:
        """Of two detectors that find the same text, the one that comes first names the mark.

        Raises `RedactionError` for what is no detector, and for two of one name.
        """
        for one in detectors:
            require_detector(one)
        names = [one.name for one in detectors]
        if not names or len(set(names)) < len(names):
            raise RedactionError(f"name one detector or more, each once, not {names}")
        self.detectors = tuple(detectors)
        self._keyed = [
            (index, one) for index, one in enumerate(detectors) if isinstance(one, KeyDetector)
        ]

    def __repr__(self) -> str:
        return f"Redactor({', '.join(label_of(one) for one in self.detectors)})"

    # -- events ----------------------------------------------------------------------------

    def __call__(
        self, events: Sequence[NewEvent], position: int
    ) -> tuple[Sequence[NewEvent], list[NewEvent]]:
        """Events as they may be stored from `position` on, and the events that say what was found.

        Raises `RedactionError` when a detector fails: what was not looked through is not stored.
        """
        kept: list[NewEvent] = []
        told: list[NewEvent] = []
        for at, new in enumerate(events, position):
            found = self.examine(new.event)
            if found is None:
                kept.append(new)
                continue
            kept.append(new._replace(event=replace(new.event, content=found.content)))
            event = ContentRedacted(position=at, replaced=found.replaced)
            told.append(NewEvent(event, Actor.SYSTEM))
        return (kept, told) if told else (events, told)

    def examine(self, event: Event) -> Examined | None:
        """What there is to replace in the content of an event, None when there is nothing."""
        content = event.content
        if content is None or isinstance(event, ContentRedacted):
            return None
        typed = isinstance(content, msgspec.Struct)
        try:
            plain = msgspec.to_builtins(content) if typed else content
        except (TypeError, ValueError, RecursionError):
            return None  # what JSON cannot hold is refused when it is stored
        walk = _Walk(self)
        record = _lengthened(content)
        changed = walk.content(plain, typed, record)
        if not walk.found:
            return None
        if typed:
            changed = msgspec.convert(changed, type(content))
        if record is not None:
            changed = _with_record(changed)
        return Examined(content=changed, found=tuple(walk.found))

    # -- texts -----------------------------------------------------------------------------

    def text(self, text: str) -> str:
        """A text with marks in the place of what is found in it."""
        return self.marked(text)[0]

    def marked(self, text: str, key: str | None = None) -> tuple[str, list[tuple[str, str]]]:
        """A text with marks in it, and what they took the place of, by detector.

        `key` is the one it stands under in an object. What a mark lays bare is found as well, so
        that doing it twice changes nothing.
        """
        found: list[tuple[str, str]] = []
        for _ in range(PASSES_MAX):
            spans = self.spans(text, key)
            if not spans:
                break
            found += [(label_of(detector), text[begin:end]) for begin, end, detector in spans]
            text = _marked(text, spans)
        return text, found

    def spans(self, text: str, key: str | None = None) -> list[tuple[int, int, Detector]]:
        """Where something is found in a text, in order, each place once.

        `key` is the one it stands under in an object. Marks are left as they are.
        """
        found: list[tuple[int, int, int]] = []
        if key is not None and text:
            for index, keyed in self._keyed:
                if self._asked(keyed, lambda keyed=keyed: keyed.holds(key, text)):
                    found.append((0, len(text), index))
        for index, detector in enumerate(self.detectors):
            for begin, end in self._asked(detector, lambda one=detector: list(one.find(text))):
                if not 0 <= begin < end <= len(text):
                    raise RedactionError(
                        f"the detector {label_of(detector)} found {(begin, end)} in a text of "
                        f"{len(text)} characters"
                    )
                found.append((begin, end, index))
        if not found:
            return []
        marks = marks_in(text)
        found = [one for one in found if not any(a <= one[0] and one[1] <= b for a, b in marks)]
        found = [_over_marks(one, marks) for one in found]
        return [(begin, end, self.detectors[index]) for begin, end, index in _apart(found)]

    def _asked(self, detector: Detector, ask: Any) -> Any:
        try:
            return ask()
        except Exception as error:
            raise RedactionError(
                f"the detector {label_of(detector)} failed, so nothing was stored: "
                f"{type(error).__name__}"
            ) from error


def label_of(detector: Detector) -> str:
    """A detector as events name it."""
    return f"{detector.name}@{detector.version}"


def _over_marks(span: tuple[int, int, int], marks: list[tuple[int, int]]) -> tuple[int, int, int]:
    """A span that cuts no mark: one that it reaches into is part of it."""
    begin, end, index = span
    for first, last in marks:
        if first < end and begin < last:
            begin, end = min(begin, first), max(end, last)
    return begin, end, index


def _apart(found: list[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Spans that overlap as one, which is named by the first of their detectors."""
    begin, end, index = -1, -1, 0
    for one_begin, one_end, one_index in sorted(found):
        if one_begin < end:
            end, index = max(end, one_end), min(index, one_index)
            continue
        if end > 0:
            yield begin, end, index
        begin, end, index = one_begin, one_end, one_index
    if end > 0:
        yield begin, end, index


def _marked(text: str, spans: list[tuple[int, int, Detector]]) -> str:
    pieces, at = [], 0
    for begin, end, detector in spans:
        pieces += [text[at:begin], mark_of(detector.name)]
        at = end
    return "".join([*pieces, text[at:]])


class _Walk:
    """One content, and what was found in it, counted by part and detector."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self.found: list[FoundText] = []

    def content(self, plain: Any, typed: bool, record: Any) -> Any:
        """A content with marks; `record`, where given, takes the place of its own."""
        if not typed or not isinstance(plain, dict):
            return self._value(plain, "content")
        return {
            field: value if field == "session_id" else self._field(field, value)
            for field, value in {**plain, **({} if record is None else {"record": record})}.items()
        }

    def _field(self, field: str, value: Any) -> Any:
        if field in _NUMBERED and isinstance(value, list):
            if field == "tool_calls":
                return [self._call(call, f"{field}[{at}]") for at, call in enumerate(value)]
            return [self._value(one, f"{field}[{at}]") for at, one in enumerate(value)]
        if field == "record":
            return self._record(value)
        return self._value(value, field)

    def _call(self, call: dict[str, Any], part: str) -> dict[str, Any]:
        return {
            name: value if name == "id" else self._value(value, f"{part}.{name}")
            for name, value in call.items()
        }

    def _record(self, record: Any) -> Any:
        """A kept source record; one whose bytes are no text is looked through all the same."""
        if isinstance(record, dict) and list(record) == ["raw_base64"]:
            data = base64.b64decode(record["raw_base64"]).decode("utf-8", "surrogateescape")
            changed = self._text(data, "record")
            if changed is data:
                return record
            raw = changed.encode("utf-8", "surrogateescape")
            return {"raw_base64": base64.b64encode(raw).decode("ascii")}
        return self._value(record, "record")

    def _value(self, value: Any, part: str, key: str | None = None) -> Any:
        kind = type(value)
        if kind is str:
            return self._text(value, part, key)
        if kind is list or kind is tuple:
            return [self._value(one, part, key) for one in value]
        if kind is dict:
            return self._object(value, part)
        return value

    def _object(self, value: dict[Any, Any], part: str) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        for key, one in value.items():
            named = self._text(key, part) if isinstance(key, str) else key
            number = 2
            while named in made:  # keys that are one when they are marked
                named, number = f"{named} ({number})", number + 1
            made[named] = self._value(one, part, key if isinstance(key, str) else None)
        return made

    def _text(self, text: str, part: str, key: str | None = None) -> str:
        marked, found = self._redactor.marked(text, key)
        self.found += [FoundText(part, detector, one) for detector, one in found]
        return marked


# -- imported records ------------------------------------------------------------------------------


def _lengthened(content: Any) -> Any:
    """The kept source record with nothing referred to, None where there is nothing of the kind.

    References into a text would no longer fit once there are marks in it.
    """
    record = getattr(content, "record", None)
    if not (isinstance(record, dict) and set(record) == {"style", "value"}):
        return None
    try:
        return {**record, "value": references.lengthen(record["value"], content)}
    except (LookupError, TypeError, ValueError, AttributeError, EventFormatError):
        return None  # it only looks like one


def _with_record(content: Any) -> Any:
    """The content with its record referring to it again."""
    short = references.shorten(content.record["value"], content)
    return replace(content, record={**content.record, "value": short})
