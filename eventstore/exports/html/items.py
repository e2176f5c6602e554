"""One message as HTML: what it says, what became of it, and what it stands for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping

from eventstore.events.catalogue import (
    ContextCompacted,
    MessageAppended,
    MessageContent,
    Run,
)
from eventstore.exports.html import bodies
from eventstore.exports.html.escaping import inline, on_one_line
from eventstore.exports.html.figures import (
    clock,
    date_and_time,
    event_link,
    link,
    plural,
    seqs,
)
from eventstore.exports.html.history import Entry, History
from projections.queries.fates import Fate

#: Classes of the style sheet; a role of another name looks like "other".
_ROLES = {name: name for name in ("user", "assistant", "tool", "system")} | {"developer": "system"}

#: Calls whose results are still to come; more than this are not waited for.
_WAITING_MAX = 1_000

Message = MessageAppended | ContextCompacted


class Messages:
    """Writes the messages of one session; remembers which tool calls wait for their results."""

    def __init__(self, history: History, spawned: Mapping[str, str]) -> None:
        """`spawned` names the sub-agents' sessions by the tool calls that began them."""
        self._history = history
        self._spawned = spawned
        self._waiting: OrderedDict[str, tuple[int, str]] = OrderedDict()

    def item(self, entry: Entry, *, inherited: bool = False) -> Iterator[str]:
        """The message as an article."""
        event = entry.recorded.event
        assert isinstance(event, MessageAppended | ContextCompacted)
        note = isinstance(event, ContextCompacted)
        classes = ["i", "m", "note" if note else _ROLES.get(event.role, "other")]
        classes.append("gone" if entry.fate else "now")
        classes += ["erased"] if entry.erased else []
        classes += ["inherited"] if inherited else []
        place = "" if inherited else f' id="v{entry.recorded.version}"'
        role = "note" if note else inline(on_one_line(event.role, 24))
        yield (
            f'<article class="{" ".join(classes)}"{place}><h3><a id="m{event.seq}" '
            f'href="#m{event.seq}">#{event.seq}</a> <b>{role}</b></h3><div class="b">'
        )
        yield self._marks(event, entry, inherited)
        yield from self._body(entry, event, inherited)
        yield f"</div>{clock(entry.at)}</article>\n"

    def _marks(self, event: Message, entry: Entry, inherited: bool) -> str:
        marks = []
        if entry.fate is not None:
            marks.append(f'<span class="mark">{_words(entry.fate)}</span>')
        if entry.redacted is not None:
            shown = entry.redacted <= self._history.version
            by = f" by {event_link(entry.redacted)}" if shown else ""
            marks.append(f'<span class="mark bad">redacted{by}</span>')
        if inherited:
            marks.append('<span class="mark">taken over</span>')
        if isinstance(event, MessageAppended):
            if event.failed:
                marks.append('<span class="mark bad">failed</span>')
            if event.finish_reason not in (None, "stop", "end_turn", "tool_use", "tool_calls"):
                marks.append(f'<span class="mark">ended by {inline(event.finish_reason)}</span>')
        return f'<p class="marks">{" ".join(marks)}</p>' if marks else ""

    def _body(self, entry: Entry, event: Message, inherited: bool) -> Iterator[str]:
        value = event.content
        if isinstance(event, ContextCompacted):
            yield from self._replaced(event, inherited)
        if not isinstance(value, MessageContent):
            yield gone(self._history, entry) or '<p class="none">empty</p>'
            self._answered(event)
            return
        if event.role == "tool":
            yield from self._result(event, value)
            return
        if value.name and not isinstance(event, ContextCompacted):
            yield f'<p class="who">{inline(on_one_line(value.name, 200))}</p>'
        yield from bodies.reasoning(value)
        yield from bodies.content(value)
        for one in value.tool_calls or ():
            yield from bodies.call(one, self._spawned.get(one.id or ""))
            self._asked(event.seq, one.id, one.name)
        if not (value.text or value.parts or value.reasoning or value.tool_calls):
            yield '<p class="none">empty</p>'
        if value.metadata:
            yield from bodies.folded("Metadata", bodies.as_json(value.metadata))

    def _result(self, event: Message, value: MessageContent) -> Iterator[str]:
        asked = self._answered(event)
        name = value.tool_name or (asked[1] if asked else None) or value.name or "result"
        words = value.text or ""
        if value.parts is not None:
            found = (one.get("text") for one in value.parts if isinstance(one, dict))
            words = next((one for one in found if isinstance(one, str)), "")
        lines = words.count("\n") + 1
        count = f"{lines:,} lines" if lines > 1 else plural(len(words), "character")
        summary = (
            f"<b>{inline(on_one_line(name, 80))}</b> "
            f'<span class="p">{inline(on_one_line(words, bodies.PREVIEW))}</span> '
            f'<span class="n">{count}</span>'
        )
        yield from bodies.folded(summary, self._answer(event, value, asked), "result")

    def _answer(
        self, event: Message, value: MessageContent, asked: tuple[int, str] | None
    ) -> Iterator[str]:
        yield from bodies.content(value, bodies.RESULT)
        call_id = event.call_id if isinstance(event, MessageAppended) else None
        if asked is not None or call_id is not None:
            to = f"{link(asked[0])}, " if asked else ""
            yield f'<p class="id">answers {to}call {inline(call_id or "")}</p>'
        if value.metadata:
            yield from bodies.folded("Metadata", bodies.as_json(value.metadata))

    def _asked(self, seq: int, call_id: str | None, name: str) -> None:
        if call_id is not None:
            self._waiting[call_id] = (seq, name)
            if len(self._waiting) > _WAITING_MAX:
                self._waiting.popitem(last=False)

    def _answered(self, event: Message) -> tuple[int, str] | None:
        call_id = event.call_id if isinstance(event, MessageAppended) else None
        return None if call_id is None else self._waiting.pop(call_id, None)

    def _replaced(self, event: ContextCompacted, inherited: bool) -> Iterator[str]:
        if inherited:
            words = f"Stands for {plural(event.count, 'message')} of the session it comes from"
        elif event.count:
            words = f"Stands for {plural(event.count, 'message')}, {seqs(event.runs)}"
        else:
            words = "Stands for no message"
        if event.tokens_before is not None and event.tokens_after is not None:
            words += f" · {event.tokens_before:,} → {event.tokens_after:,} tokens"
        if event.trigger is not None:
            words += f" · {inline(on_one_line(event.trigger, 60))}"
        yield f'<p class="stands">{words}</p>'
        if event.count and not inherited:
            body = listed(self._history, event.runs)
            yield from bodies.folded("What it took the place of", body, "taken")


def listed(history: History, runs: tuple[Run, ...]) -> Iterator[str]:
    """Messages that left the context: a line and a link for each."""
    yield "<ol>"
    for entry in history.messages(runs):
        event = entry.recorded.event
        assert isinstance(event, MessageAppended | ContextCompacted)
        role = inline(on_one_line(event.role, 24))
        yield f"<li>{link(event.seq)} <b>{role}</b> {_begin(entry)}</li>"
    yield "</ol>"


def gone(history: History, entry: Entry) -> str:
    """What stands in the place of content that is not there: who erased it and why, if known."""
    if entry.withheld:
        return '<p class="none">text left out of this page</p>'
    if not entry.erased:
        return ""
    found = history.erasure_of(entry.recorded)
    if found is None:
        return '<p class="wiped"><b>Erased.</b> Who and why is not on the session\'s record.</p>'
    by = f" by {inline(found.by)}" if found.by else ""
    why = f" Reason: {inline(found.reason)}." if found.reason else " No reason was given."
    why += f" Basis: {inline(found.basis)}." if found.basis else ""
    own = found.stream == history.stream and found.version <= history.version
    more = f" {event_link(found.version)}" if own else ""
    return f'<p class="wiped"><b>Erased</b>{by}, {date_and_time(found.at)}.{why}{more}</p>'


def _words(fate: Fate) -> str:
    if fate.state == "compacted" and fate.note is not None:
        return f"replaced by note {link(fate.note)}"
    by = event_link(fate.version)
    words = {"consolidated": "taken out of the context by", "retracted": "retracted by"}
    return f"{words.get(fate.state, inline(fate.state) + ' by')} {by}"


def _begin(entry: Entry) -> str:
    """The beginning of a message, on one line, as HTML."""
    value = entry.recorded.event.content
    if not isinstance(value, MessageContent):
        return '<i class="none">erased</i>' if entry.erased else ""
    words = [value.text or ""]
    words += [one.get("text", "") for one in value.parts or () if isinstance(one, dict)]
    words += [f"→ {one.name}" for one in value.tool_calls or ()]
    first = next((one for one in words if isinstance(one, str) and one), "")
    return inline(on_one_line(first, 90))
