"""Markdown: a CommonMark parser finds the document's structure, and nothing that a text brought."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget, populated, ticking
from histories import NASTY, histories, play, texts
from hypothesis import HealthCheck, given, settings

from eventstore import SessionStore, ToolCall
from eventstore.exports.markdown import code, escaped, fenced
from eventstore.exports.runner import export

#: The only HTML of the format.
FOLDS = re.compile(r"</?details>|<details><summary>[^<>]*</summary>\n?|</details>\n?")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SessionStore]:
    with populated(tmp_path / "s.db") as store:
        yield store


def exported(store: SessionStore, name: str, **options: Any) -> str:
    out = io.BytesIO()
    export(store, "markdown", out, sessions=[store.session(name)], record=False, **options)
    return out.getvalue().decode()


def tokens(text: str) -> list[Any]:
    parser = pytest.importorskip("markdown_it", reason="markdown-it-py is not installed")
    found: list[Any] = parser.MarkdownIt("commonmark").parse(text)
    return found


def structure(text: str) -> list[str]:
    """The blocks of a document, and its inline tokens that are more than text."""
    found = []
    for token in tokens(text):
        found.append(token.type)
        if token.type == "html_block":
            assert FOLDS.fullmatch(token.content), token.content
        found += [one.type for one in token.children or () if one.type != "text"]
    return found


def contents(text: str) -> list[str]:
    return [token.content for token in tokens(text) if token.type == "fence"]


def test_a_document_reads_in_the_order_of_the_conversation(store: SessionStore) -> None:
    text = exported(store, "root")
    assert text.startswith("# Title\n\n- **Session:** `root`\n")
    parts = ["hello 🙂", "Tool call: search (call_1)", '"q":"needle"', "Result of search", "done",
             "**Context compacted:** the note #6 took the place of 3 messages, #1 to #3; "
             "100 tokens became 10.", "a note", "to be retracted"]  # fmt: skip
    assert [text.index(part) for part in parts] == sorted(text.index(part) for part in parts)
    assert "*compacted*" in text
    assert "*retracted*" in text


def test_one_document_a_session(store: SessionStore, tmp_path: Path) -> None:
    export(store, "markdown", tmp_path / "all")
    names = sorted(path.name for path in (tmp_path / "all").iterdir())
    assert names == ["child.md", "fork.md", "gone.md", "gone~1.md", "other.md", "root.md"]


@settings(max_examples=budget(150), deadline=None)
@given(text=texts)
def test_a_text_stays_in_its_block_and_is_shown_whole(text: str) -> None:
    document = f"before\n\n{fenced(text)}\n\nafter\n"
    found = tokens(document)
    assert [token.type for token in found if token.type != "inline"] == [
        "paragraph_open", "paragraph_close", "fence", "paragraph_open", "paragraph_close",
    ]  # fmt: skip
    shown = found[3].content
    if not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]", text):
        assert shown == text + "\n"
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]", shown)


@settings(max_examples=budget(150), deadline=None)
@given(text=texts)
def test_prose_has_nothing_that_a_text_brought(text: str) -> None:
    for document in (f"## #1 {escaped(text)}\n", f"x {code(text)} y\n"):
        kinds = {kind for kind in structure(document) if kind != "inline"}
        assert kinds <= {
            "heading_open", "heading_close", "paragraph_open", "paragraph_close", "code_inline",
            "text_special",
        }  # fmt: skip
        assert document.count("\n") == 1


@settings(max_examples=budget(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(history=histories)
def test_any_history_keeps_the_documents_structure(history: list[Any]) -> None:
    with SessionStore.open(":memory:", clock=ticking()) as store:
        play(store, history)
        for info in store.sessions(statuses=None):
            text = exported(store, info.name)
            kinds = structure(text)
            assert kinds.count("html_block") % 2 == 0
            headings = re.findall(r"^## #(\d+) ", text, flags=re.M)
            own = [one for one in tokens(text) if one.type == "heading_open" and one.tag == "h2"]
            assert len(own) == info.messages <= len(headings)
            allowed = {
                "heading_open", "heading_close", "inline", "paragraph_open", "paragraph_close",
                "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
                "fence", "hr", "html_block", "code_inline", "strong_open", "strong_close",
                "em_open", "em_close", "softbreak", "text_special",
            }  # fmt: skip
            assert set(kinds) <= allowed


def test_names_and_ids_cannot_leave_their_place(store: SessionStore) -> None:
    session = store.create("nasty", title="<script>alert(1)</script> *x* [l](http://e.org)")
    for text in NASTY:
        name = text.replace("\ud83d", "").replace("\udc00", "")[:50] or "n"
        call = ToolCall(id=f"</summary>`{len(name)}`", name=name, arguments={"a": text})
        session.append("assistant", text, tool_calls=[call], name=name)
        session.append("tool", text, call_id=call.id, tool_name=name)
    text = exported(store, "nasty")
    kinds = structure(text)
    assert not {"link_open", "image", "html_inline"} & set(kinds)
    assert kinds.count("html_block") == 2 * 2 * len(NASTY)


def test_what_was_erased_or_is_withheld_is_marked(store: SessionStore) -> None:
    root = store.session("root")
    root.erase_events([root.history()[0].position])
    assert "*[erased]*" in exported(store, "root")
    text = exported(store, "root", content="none")
    assert text.count("*[withheld]*") >= root.info().messages
    for word in ("hello", "needle", "done", "a note", "Title", "Prompt"):
        assert word not in text


def test_images_are_named_and_not_written_out(store: SessionStore) -> None:
    data = "iVBORw0KGgo" * 100
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": data}}
    store.create("picture").append("user", [{"type": "text", "text": "look"}, image])
    text = exported(store, "picture")
    assert contents(text) == ["look\n"]
    assert "*[image, 1,1" in text
