"""The HTML page in a real browser; skipped, with the reason, where there is none."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import browser
import pytest
from browser import Page
from engine_support import ticking
from page_support import HOSTILE, PIXEL, tell_everything

from eventstore import Session, SessionStore, ToolCall
from eventstore.exports.html import write_page

WHY_NOT = browser.missing()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))


@pytest.fixture(scope="module")
def chromium() -> Iterator[Page]:
    with browser.browser() as page:
        yield page


@pytest.fixture
def store() -> SessionStore:
    return SessionStore.open(":memory:", clock=ticking(step=1_000_000))


@pytest.fixture
def page(chromium: Page) -> Iterator[Page]:
    """The browser as a person's is: a desktop's window, scripts on, no old entries in the logs."""
    chromium.log("browser")
    yield chromium
    chromium.command("Emulation.setScriptExecutionDisabled", value=False)
    chromium.command("Emulation.clearDeviceMetricsOverride")
    chromium.command("Emulation.setEmulatedMedia", features=[])


def trip(store: SessionStore) -> Session:
    session = store.create("trip", title="Three days in Rome", prompt="You plan travels.")
    session.append("user", "What should we see?")
    call = ToolCall(id="c", name="search", arguments={"query": "sights"})
    session.append("assistant", tool_calls=[call], reasoning="They have children.")
    session.append("tool", "Forum\n" * 100 + "the very last line", call_id="c")
    session.append("assistant", "The Forum, then the zoo.")
    session.record_usage("r", input=10, cost=0.5)
    session.append("user", "And when it rains?")
    session.append("assistant", "The museums.")
    session.compact(1, 3, "They asked for sights.")
    session.append(
        "user",
        [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PIXEL}}],
    )
    session.append("assistant", "A point.")
    return session


def opened(page: Page, session: Session, folder: Path) -> Path:
    path = folder / "page.html"
    with path.open("wb") as out:
        write_page(session, out)
    page.open(path)
    return path


def shown(page: Page) -> list[str]:
    """The numbers of the messages that can be seen."""
    found: list[str] = page.run(
        "return Array.from(document.querySelectorAll('article'))"
        ".filter(one => one.checkVisibility())"
        ".map(one => one.querySelector('h3 a').textContent)"
    )
    return found


def is_open(page: Page, selector: str) -> bool:
    return bool(page.run("return document.querySelector(arguments[0]).open", selector))


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds; searching waits for the end of the typing."""
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("it never came to be")


def test_the_page_renders_with_its_style_and_script_and_no_complaint(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    path = opened(page, trip(store), tmp_path)
    assert page.run("return document.title") == "Three days in Rome"
    assert shown(page) == [f"#{seq}" for seq in range(1, 10)]
    display = "return getComputedStyle(document.querySelector('article')).display"
    assert page.run(display) == "grid"
    assert page.run("return document.querySelectorAll('#turns li').length") == 2
    assert page.run("return document.querySelector('img').naturalWidth") == 1
    assert page.log("browser") == []
    assert list(page.requests(path)) == [path.as_uri(), "data:image/png;base64," + PIXEL]
    assert page.screenshot().startswith(b"\x89PNG")


def test_a_click_unfolds_and_folds(page: Page, store: SessionStore, tmp_path: Path) -> None:
    opened(page, trip(store), tmp_path)
    result = "#v6 details.result"
    inside = f"return document.querySelector('{result} > .t').checkVisibility()"
    assert (is_open(page, result), page.run(inside)) == (False, False)
    page.click(f"{result} > summary")
    assert (is_open(page, result), page.run(inside)) == (True, True)
    rest = f"{result} details.rest"
    assert not is_open(page, rest)
    page.click(f"{rest} > summary")
    assert is_open(page, rest)
    page.click(f"{result} > summary")
    assert not is_open(page, result)
    page.click("#unfold")
    assert page.run("return document.querySelectorAll('main details:not([open])').length") == 0
    page.click("#fold")
    assert page.run("return document.querySelectorAll('main details[open]').length") == 0


def test_a_search_hides_what_does_not_match_and_opens_what_does(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    opened(page, trip(store), tmp_path)
    page.type("#find", "The VERY last")
    eventually(lambda: shown(page) == ["#3"])
    assert is_open(page, "#v6 details.result")
    assert is_open(page, "#v6 details.rest")
    assert page.run("return document.getElementById('found').textContent").startswith("1 of ")
    page.type("#find", "\ue007")
    assert page.run("return document.getElementById('found').textContent") == "hit 1 of 1"
    page.type("#find", "\ue00c")
    eventually(lambda: len(shown(page)) == 9)
    assert not is_open(page, "#v6 details.result")
    assert page.run("return document.activeElement.id") != "find"
    page.type("body", "/zoo")
    eventually(lambda: shown(page) == ["#4"])


def test_the_boxes_leave_what_the_model_sees_and_hide_tools_and_events(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    session = trip(store)
    opened(page, session, tmp_path)
    page.click("#now")
    assert sorted(shown(page)) == sorted(f"#{message.seq}" for message in session.messages())
    visible = "return document.querySelector(arguments[0]).checkVisibility()"
    assert page.run(visible, "#v3")  # the prompt is what the model sees, too
    assert not page.run(visible, "#v1")
    page.click("#now")
    page.click("#tools")
    assert "#3" not in shown(page)
    assert not page.run(visible, "#v5 .call")
    page.click("#events")
    assert not page.run(visible, "#v8")


def test_the_page_can_be_read_without_script(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    session = trip(store)
    page.command("Emulation.setScriptExecutionDisabled", value=True)
    opened(page, session, tmp_path)
    assert not page.run("return document.getElementById('find').checkVisibility()")
    page.click("#v6 details.result > summary")
    assert is_open(page, "#v6 details.result")
    page.click("#now")
    assert sorted(shown(page)) == sorted(f"#{message.seq}" for message in session.messages())


def test_nothing_of_a_hostile_session_runs_or_is_loaded(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    text = "".join(HOSTILE)
    path = opened(page, tell_everything(store, text), tmp_path)
    page.click("#unfold")
    page.type("#find", "<script>")
    eventually(lambda: page.run("return document.getElementById('found').textContent") != "")
    assert page.run("return window.owned") is None
    assert page.run("return document.querySelectorAll('main, script, style').length") == 3
    assert (
        page.run("return document.querySelectorAll('main script, iframe, form, svg').length") == 0
    )
    links = "return Array.from(document.querySelectorAll('a'), one => one.getAttribute('href'))"
    assert all(re.fullmatch(r"#[mvt]\d+|#timeline", link) for link in page.run(links))
    assert page.run("return location.href").split("#")[0] == path.as_uri()
    assert page.log("browser") == []
    kinds = {url.split(":")[0] for url in page.requests(path)}
    assert kinds == {"file", "data"}
    assert page.run("return performance.getEntriesByType('resource').map(one => one.name)") in (
        [], ["data:image/png;base64," + PIXEL],
    )  # fmt: skip


def test_the_policy_stops_what_is_not_the_page_s_own(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    """Were the escaping ever broken, the browser would still run and load nothing."""
    path = tmp_path / "page.html"
    with path.open("wb") as out:
        write_page(trip(store), out)
    broken = path.read_text(encoding="utf-8").replace(
        "</main>",
        "<script>window.owned=1</script><img src=x onerror=window.owned=1>"
        "<img src=https://example.org/a.png><style>body{display:none}</style>"
        "<p id=inline style='display:none'>inline</p>"
        "<iframe srcdoc='<script>parent.owned=1</script>'></iframe></main>",
    )
    path.write_text(broken, encoding="utf-8")
    page.open(path)
    assert page.run("return window.owned") is None
    assert page.run("return document.getElementById('inline').checkVisibility()")
    assert page.requests(path)["https://example.org/a.png"] == "csp"
    assert len(page.log("browser")) >= 4  # each is told as a violation


@pytest.mark.parametrize("width", [320, 390, 820, 1400])
def test_the_page_fits_the_width_of_the_screen(
    page: Page, store: SessionStore, tmp_path: Path, width: int
) -> None:
    session = trip(store)
    session.append("assistant", "https://example.org/" + "a" * 500)
    session.append("user", "| " * 300)
    page.command(
        "Emulation.setDeviceMetricsOverride",
        width=width, height=800, deviceScaleFactor=1, mobile=width < 600,
    )  # fmt: skip
    opened(page, session, tmp_path)
    page.click("#unfold")
    assert page.run("return document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_what_is_behind_it(
    page: Page, store: SessionStore, tmp_path: Path, scheme: str
) -> None:
    """Contrast of at least 4.5 : 1, as WCAG 2.2 asks for (AA, 1.4.3)."""
    session = trip(store)
    session.append("tool", "no such file", failed=True)
    positions = [one.position for one in session.events() if getattr(one.event, "seq", 0) == 5]
    session.erase_events(positions, by="dpo", reason="asked")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.command("Emulation.setEmulatedMedia", features=features)
    opened(page, session, tmp_path)
    page.click("#unfold")
    found = page.run(CONTRASTS)
    assert len(found) > 60
    assert [one for one in found if one[0] < 4.5] == []


#: The contrast of every element that holds text, to the nearest colour behind it.
CONTRASTS = """
const light = (colour) => {
  const [r, g, b] = colour.match(/[\\d.]+/g).map(Number).map((one) => {
    const part = one / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (one) => {
  for (let up = one; up; up = up.parentElement) {
    const colour = getComputedStyle(up).backgroundColor;
    if (!colour.startsWith("rgba(0, 0, 0, 0")) return colour;
  }
  return "rgb(255, 255, 255)";
};
return Array.from(document.querySelectorAll("body *"))
  .filter((one) => one.checkVisibility())
  .filter((one) => Array.from(one.childNodes).some((n) => n.nodeType === 3 && n.data.trim()))
  .map((one) => {
    const [a, b] = [light(getComputedStyle(one).color), light(behind(one))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), `${one.localName}.${one.className}`, one.textContent];
  });
"""


def test_the_keyboard_reaches_everything_and_each_thing_has_a_name(
    page: Page, store: SessionStore, tmp_path: Path
) -> None:
    opened(page, trip(store), tmp_path)
    landmarks = "return ['header', 'nav', 'main', 'footer', '[role=search]']"
    for landmark in page.run(landmarks):
        assert page.run("return document.querySelectorAll('body ' + arguments[0]).length", landmark)
    levels = page.run(
        "return Array.from(document.querySelectorAll('h1, h2, h3'), one => +one.localName[1])"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    active = ("link", "button", "checkbox", "searchbox", "DisclosureTriangle", "image")
    named = [one for one in nodes if one.get("role", {}).get("value") in active]
    assert len(named) > 20
    assert [one for one in named if not one.get("name", {}).get("value")] == []


def test_a_long_page_opens_and_searches(page: Page, store: SessionStore, tmp_path: Path) -> None:
    session = store.create("long")
    for number in range(400):
        session.append("user", f"question {number}")
        session.append("assistant", "words " * 60)
        session.append("tool", "line\n" * 80, call_id=str(number))
    opened(page, session, tmp_path)
    assert page.run("return document.querySelectorAll('article').length") == 1200
    page.type("#find", "question 399")
    eventually(lambda: shown(page) == ["#1198"])
