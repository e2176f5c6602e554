"""Reading a page as a browser's parser does, and sessions to make pages of."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from typing import Any

from eventstore import Message, Session, SessionStore, ToolCall
from eventstore.events import catalogue as ev
from eventstore.exports.html import write_page

VOID = {"meta", "img", "input", "br"}
PIXEL = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
    "+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

#: What people and models might write to get out of the text.
HOSTILE = (
    "<script>window.owned=1</script>",
    "</script><script>window.owned=1</script>",
    "<img src=x onerror=window.owned=1>",
    '"><img src=https://example.org/a.png onload="window.owned=1">',
    "' onmouseover='window.owned=1' x='",
    "</style><style>body{display:none}</style>",
    "<style>@import 'https://example.org/a.css'</style>",
    "</title><script>window.owned=1</script>",
    "</textarea><svg onload=window.owned=1>",
    "<!-- ", "--><script>window.owned=1</script>", "<![CDATA[", "]]>", "<?php ",
    "</div></details></article></section></main></body></html>",
    "<iframe srcdoc='<script>parent.owned=1</script>'></iframe>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    "<base href=https://example.org/><link rel=stylesheet href=a.css>",
    "<form action=https://example.org/><input name=a autofocus onfocus=window.owned=1>",
    "[click](javascript:window.owned=1) javascript:window.owned=1",
    "<a href=javascript:window.owned=1>click</a>",
    "$timeline $title ${style} $$ {{timeline}} %s {0}",
    "&lt;script&gt;window.owned=1&lt;/script&gt; &#60;b&#62; &amp;",
    "\u202egnp.exe \u2066\u2067\u2069 \u200f", "\x00\x1b]0;owned\x07\x9b31m\x7f", "\ud800 \udfff",
    "\r\none\rtwo\r\n\r\n",
    "\U000e0041\U000e0042 zero\u200bwidth \ufeff",
)  # fmt: skip


class Element:
    """An element with its attributes, its parts in order, and the one around it."""

    def __init__(self, tag: str, attributes: dict[str, str | None], parent: Element | None) -> None:
        self.tag = tag
        self.attributes = attributes
        self.parent = parent
        self.parts: list[Element | str] = []

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())

    @property
    def text(self) -> str:
        return "".join(one if isinstance(one, str) else one.text for one in self.parts)

    def all(self, tag: str | None = None, kind: str | None = None) -> list[Element]:
        """The elements inside, in order."""
        found: list[Element] = []
        for one in self.parts:
            if isinstance(one, Element):
                if tag in (None, one.tag) and (kind is None or kind in one.classes):
                    found.append(one)
                found += one.all(tag, kind)
        return found

    def one(self, tag: str | None = None, kind: str | None = None) -> Element:
        [found] = self.all(tag, kind)
        return found

    def by_id(self, name: str) -> Element:
        [found] = [one for one in self.all() if one.attributes.get("id") == name]
        return found


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {}, None)
        self.open = self.root

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"{tag} has an attribute twice: {names}"
        made = Element(tag, dict(attrs), self.open)
        self.open.parts.append(made)
        if tag not in VOID:
            self.open = made

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> ends a {self.open.tag}"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.parts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data!r}")

    def unknown_decl(self, data: str) -> None:
        raise AssertionError(f"a declaration: {data!r}")

    def handle_pi(self, data: str) -> None:
        raise AssertionError(f"an instruction: {data!r}")


def parsed(page: str) -> Element:
    """The page's elements; fails when one is not closed where it should be."""
    builder = _Builder()
    builder.feed(page)
    builder.close()
    assert builder.open is builder.root, f"{builder.open.tag} is not closed"
    return builder.root


def written(session: Session, **options: Any) -> str:
    """The page of a session."""
    out = io.BytesIO()
    write_page(session, out, **options)
    return out.getvalue().decode()


def page_of(session: Session, **options: Any) -> Element:
    """The page of a session, parsed."""
    return parsed(written(session, **options))


_ATTRIBUTES = {
    "id": r"[mvt]\d+|find|found|now|tools|events|unfold|fold|turns|timeline",
    "class": r"[a-z -]+",
    "href": r"#([mvt]\d+|timeline)",
    "src": r"data:image/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/]+={0,2}",
    "alt": "Image of this message",
    "datetime": r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z",
    "aria-labelledby": r"t\d+",
    "scope": "row|col",
}
_TAGS = {
    "html", "head", "meta", "title", "style", "body", "a", "header", "p", "h1", "h2", "h3", "dl",
    "div", "dt", "dd", "b", "code", "time", "span", "label", "input", "output", "button", "nav",
    "main", "section", "article", "details", "summary", "figure", "img", "figcaption", "footer",
    "script", "table", "thead", "tbody", "tr", "th", "td", "ol", "li", "i",
}  # fmt: skip
#: Elements of the template, whose attributes are its own.
_FIXED = {"html", "meta", "input", "output", "button", "nav", "main", "label"}


def check_only_ours(page: Element) -> None:
    """Nothing on the page is an element or an attribute that the text of a session could choose."""
    for element in page.all():
        assert element.tag in _TAGS, element.tag
        if element.tag in _FIXED or element.attributes.get("role") == "search":
            continue
        for name, value in element.attributes.items():
            if name == "hidden":
                continue
            assert name in _ATTRIBUTES, (element.tag, name)
            assert re.fullmatch(_ATTRIBUTES[name], value or ""), (element.tag, name, value)
    for tag in ("html", "head", "title", "style", "body", "main", "nav", "script", "h1", "footer"):
        assert len(page.all(tag)) == 1, tag
    assert len(page.all("meta")) == 6
    assert len(page.all("input")) == 4
    assert len(page.all("button")) == 2


def tell_everything(store: SessionStore, text: str, session_id: str = "s") -> Session:
    """A session with this text wherever a session can hold text."""
    fact = text.encode("utf-8", "ignore").decode() or "x"  # facts hold no lone surrogate
    session = store.create(
        session_id, title=text, prompt=text, model=fact, provider=fact, source=fact,
        configuration={text: text}, metadata={text: [text]},
    )  # fmt: skip
    call = ToolCall(id=fact, name=text, arguments={text: text, "more": [{text: text}]})
    session.append("user", text, name=text, metadata={text: text})
    session.append(
        "assistant", text, tool_calls=(call, ToolCall(id=fact + "2", name=text, arguments=text)),
        reasoning=text, reasoning_items=[{text: text}], finish_reason=fact, model=fact,
    )  # fmt: skip
    session.append("tool", text, call_id=fact, tool_name=text, failed=True)
    parts: list[Any] = [
        text,
        {"type": "text", "text": text},
        {"type": text, "data": text},
        {"type": "thinking", "thinking": text},
        {"type": "image", "source": {"type": "base64", "media_type": text, "data": text}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": text}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}},
        {"type": "image_url", "image_url": {"url": text}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + text}},
        {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
        {text: text},
    ]
    session.append("another-role", parts, name=text)
    session.compact(1, 2, text, trigger=fact)
    session.record_usage(fact, input=1, cost=1, currency=fact, model=fact, provider=fact)
    session.suspend_tool_calls({text: text}, [fact])
    for event in (
        ev.ToolCalled(call_id=fact, status=fact, content=ev.ActivityContent(subject=text)),
        ev.FileTouched(operation=fact, content=ev.ActivityContent(subject=text, data={text: text})),
        ev.RecordImported(format=fact, kind=fact, damaged=True, content=ev.Content(record=text)),
        ev.CustomEvent(name="x.acme.moved", data={fact: fact}, content={text: text}),
        ev.ExportCreated(format=fact, to_version=1, content=ev.ExportContent(recipient=text)),
    ):
        session.add_event(event)
    session.change_model(fact, fact)
    session.retract(3)
    session.append_many([Message(role="user", content=text)])
    session.end(text)
    return session
