"""Who, why and on what basis stay for good, so they must not repeat what is erased."""

from __future__ import annotations

import re
from collections.abc import Sequence

import apsw
import msgspec

from eventstore.erasing.selection import Selection
from eventstore.errors import InvalidValueError
from eventstore.events.catalogue import MessageContent
from eventstore.log import reading
from eventstore.store.erasure import Words
from eventstore.traces.needles import strings_in

#: Texts that are shorter say nothing.
CHARACTERS_MIN = 3

#: A word with a digit that is at least so long tells who or what, as a number or an address does.
MARKED_MIN = 4

_MARKED = re.compile(r"(?=[^\W_]*\d)\w+")


def require_silent(connection: apsw.Connection, words: Words, positions: Sequence[int]) -> None:
    """Raise `InvalidValueError` where `words` contain a text of these events, or a number in one.

    Names of tools are no such text.
    """
    said = [(name, text.casefold()) for name, text in words.given()]
    if not said:
        return
    marked = {(name, one) for name, text in said for one in _MARKED.findall(text)}
    longest = max(len(text) for _, text in said)
    for recorded in reading.by_positions(connection, positions, content=True):
        for text in map(str.casefold, _texts_of(recorded.event.content)):
            if CHARACTERS_MIN <= len(text.strip()) <= longest:
                for name, other in said:
                    if _has_words(other, text.strip()):
                        raise _refused(name, recorded.position)
            for name, one in marked:
                if len(one) >= MARKED_MIN and one in text and _has_words(text, one):
                    raise _refused(name, recorded.position)


def require_unnamed(words: Words, chosen: Selection) -> None:
    """Raise `InvalidValueError` where `words` repeat what was looked for."""
    looked_for = {value for _, value in (*chosen.metadata, *chosen.message_metadata)}
    looked_for |= {one for one in (chosen.prefix, chosen.author, chosen.text, chosen.query) if one}
    for name, text in words.given():
        if any(_has_words(text.casefold(), one.strip().casefold()) for one in looked_for):
            raise InvalidValueError(
                f"{name} repeats what is looked for, and would keep it for good: say it without"
            )


def _texts_of(content: object) -> list[str]:
    if content is None:
        return []
    value = msgspec.to_builtins(content)
    if isinstance(content, MessageContent):
        value.pop("tool_name", None)
        for call in value.get("tool_calls", ()):
            call.pop("name", None)
    return list(strings_in(value))


def _has_words(text: str, words: str) -> bool:
    """Whether `words` stand in `text`, not as a part of longer ones."""
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def _refused(name: str, position: int) -> InvalidValueError:
    return InvalidValueError(
        f"{name} repeats what is erased at position {position}, and would keep it for good: say "
        "it without"
    )
