"""A real browser for tests: Chromium without a window, spoken to by WebDriver over plain HTTP.

Only the standard library is needed, and Chromium with its driver on the machine
(``apt-get install chromium chromium-driver`` on Debian).
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
_STARTED = re.compile(r"successfully on port (\d+)")


def missing() -> str | None:
    """Why there is no browser to test with, None when there is one."""
    if _browser() is None:
        return "no Chromium or Chrome on this machine"
    return None if shutil.which("chromedriver") else "no chromedriver on this machine"


def _browser() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((found for name in names if (found := shutil.which(name))), None)


class Page:
    """A browser with one tab."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, path: Path, fragment: str = "") -> None:
        _post(f"{self._session}/url", {"url": path.as_uri() + fragment})

    def run(self, script: str, *arguments: Any) -> Any:
        """What a script returns; it runs beside the page's policy, as a person's console does."""
        return _post(f"{self._session}/execute/sync", {"script": script, "args": list(arguments)})

    def click(self, selector: str) -> None:
        """Click as a person would: fails when the element cannot be seen or is covered.

        What is far down the page is laid out when it is scrolled to, so it may take a moment.
        """
        element = self._find(selector)
        for _ in range(40):
            self.run("arguments[0].scrollIntoView({block: 'center'})", {_ELEMENT: element})
            try:
                _post(f"{self._session}/element/{element}/click", {})
                return
            except RuntimeError as error:
                if "not interactable" not in str(error):
                    raise
                time.sleep(0.05)
        raise RuntimeError(f"{selector} cannot be clicked")

    def type(self, selector: str, text: str) -> None:
        _post(f"{self._session}/element/{self._find(selector)}/value", {"text": text})

    def log(self, kind: str) -> list[Any]:
        """Entries of the log ``browser`` or ``performance`` since the last look."""
        found: list[Any] = _post(f"{self._session}/se/log", {"type": kind})
        return found

    def requests(self, path: Path) -> dict[str, str | None]:
        """What this page has asked for since the last look, and why it was stopped, if it was."""
        messages = [json.loads(one["message"])["message"] for one in self.log("performance")]
        sent: dict[str, str] = {}
        found: dict[str, str | None] = {}
        for message in messages:
            values = message["params"]
            if message["method"] == "Network.requestWillBeSent":
                if values["documentURL"].startswith(path.as_uri()):
                    sent[values["requestId"]] = values["request"]["url"]
                    found[values["request"]["url"]] = None
            elif message["method"] == "Network.loadingFailed" and values["requestId"] in sent:
                found[sent[values["requestId"]]] = values.get("blockedReason")
        return found

    def screenshot(self) -> bytes:
        return base64.b64decode(_get(f"{self._session}/screenshot"))

    def command(self, name: str, **parameters: Any) -> Any:
        """A command of Chromium's own protocol."""
        return _post(f"{self._session}/goog/cdp/execute", {"cmd": name, "params": parameters})

    def _find(self, selector: str) -> str:
        found = _post(f"{self._session}/element", {"using": "css selector", "value": selector})
        return str(found[_ELEMENT])


@contextmanager
def browser(*more: str) -> Iterator[Page]:
    """A fresh browser with a profile of its own; ended and removed afterwards."""
    driver = subprocess.Popen(
        ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert driver.stdout is not None
    try:
        base = f"http://127.0.0.1:{_port(driver.stdout)}"
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
            options = {
                "binary": _browser(),
                "args": [*ARGUMENTS, *more, f"--user-data-dir={profile}", "about:blank"],
            }
            wanted = {
                "browserName": "chrome",
                "goog:chromeOptions": options,
                "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
            }
            made = _post(f"{base}/session", {"capabilities": {"alwaysMatch": wanted}})
            session = f"{base}/session/{made['sessionId']}"
            try:
                yield Page(session)
            finally:
                _send("DELETE", session, None)
    finally:
        driver.terminate()
        driver.wait(20)
        driver.stdout.close()


def _port(lines: Iterator[str]) -> int:
    for line in lines:
        if (found := _STARTED.search(line)) is not None:
            return int(found[1])
    raise RuntimeError("chromedriver ended before it listened")


def _post(url: str, body: dict[str, Any]) -> Any:
    return _send("POST", url, json.dumps(body).encode())


def _get(url: str) -> Any:
    return _send("GET", url, None)


def _send(method: str, url: str, body: bytes | None) -> Any:
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(url, body, headers, method=method)
    try:
        with _DIRECT.open(request, timeout=90) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        with error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None


#: Without the proxy that the environment may name: the driver is on this machine.
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
