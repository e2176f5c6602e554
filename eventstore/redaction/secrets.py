"""The detector of secrets that a name beside them gives away: ``DB_PASSWORD=…``, ``token: …``.

The name decides, then the value must look like one: not a placeholder, not code that fetches it,
not a word of prose. Names that often hold something else (``token``, ``key``) ask for a value that
looks random. Passwords in URLs and credentials in ``Authorization`` headers are found as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Names that hold nothing but secrets.
_STRONG = (
    r"passw(?:or)?d|passwd|passphrase|(?<=[_.-])pwd|secret|api[_-]?key|access[_-]?key"
    r"|secret[_-]?key|private[_-]?key|account[_-]?key|auth[_-]?key|encryption[_-]?key"
    r"|signing[_-]?key|client[_-]?secret"
)
_SUFFIX = (
    r"(?:[_-](?:base|value|prod|production|dev|test|live|staging|default|old|new|[0-9]{1,2}))?"
)

_NAME = re.compile(
    rf"(?:(?P<strong>{_STRONG})|(?:^|(?<=[^A-Za-z0-9])|(?<=[a-z0-9])(?=T))(?P<weak>token))"
    rf"{_SUFFIX}[0-9]{{0,2}}$",
    re.IGNORECASE,
)
#: Names that end so, and say where a list goes on.
_OTHER = re.compile(r"page|next|continu|cursor|sync|resume", re.IGNORECASE)

#: A name, a sign of assignment, and the beginning of a value, in the forms of shells, YAML, JSON
#: (also JSON inside a JSON text), TOML, headers, URLs and code.
_ASSIGNED = re.compile(
    r"(?<![A-Za-z0-9_.-])(?P<name>[A-Za-z][A-Za-z0-9_.-]{1,63})(?P<close>\\{0,3}[\"'`]|)"
    r"(?P<sign>[ \t]{0,3}(?:=>|:=|==?|:)[ \t]{0,3})"
    r"(?P<open>\\{0,3}[\"'`]|)"
)
_BARE = re.compile(r"[^\s\"'`,;&|<>\\)}\]]{1,4096}")
_QUOTED = {
    '"': re.compile(r'(?:[^"\\\n]|\\[^\n]){0,4096}'),
    "'": re.compile(r"(?:[^'\\\n]|\\[^\n]){0,4096}"),
    "`": re.compile(r"[^`\n]{0,4096}"),
}
_ESCAPED = re.compile(r"[^\"'`\\\n]{0,4096}")

_URL = re.compile(
    r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:\"'`<>\\]{0,128}:"
    r"(?P<value>[^\s/@\"'`<>\\]{3,256})@"
)
_HEADER = re.compile(
    r"(?i:authorization)\\{0,3}[\"']?[ \t]{0,3}[:=][ \t]{0,3}\\{0,3}[\"']?"
    r"(?i:bearer|basic|token)[ \t]{1,3}(?P<value>[A-Za-z0-9._~+/=-]{8,8192})"
)

_PLACEHOLDER = re.compile(
    r"x{3,}|\*+|\.{2,}|-+|_+|#+|0+|(?:1234|12345|123456|abc|foo|bar|baz)"
    r"|none|null|nil|true|false|undefined|empty|unset|n/?a|tbd|todo|required|optional"
    r"|str|string|bytes|int|integer|text|type|bool|boolean|object|any|float|number|bearer|basic"
    r"|change[_-]?(?:me|it)|replace[_-]?me|placeholder|redacted|masked|hidden|omitted|example"
    r"|dummy|sample|fake|(?:your|my|the|some|any)[_-].{0,60}|<.{0,200}>|\{.{0,200}\}|\[.{0,200}\]?"
    r"|[$%@].{0,200}|.{0,60}(?:example|placeholder|_here|-here|changeme)",
    re.IGNORECASE | re.DOTALL,
)
#: What code writes for a value it has elsewhere.
_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:(?:\.|::|->)[A-Za-z_][A-Za-z0-9_]*)*[{\[.:]*")
_NAMELIKE = re.compile(r"[A-Z0-9]+(?:_[A-Z0-9]+)*")

#: A value that may be a password; one that looks random, for names that hold other things too.
STRONG_MIN = 4
BARE_MIN = 6
RANDOM_MIN = 16

#: Longer values in quotes with blanks in them are sentences.
QUOTED_PROSE_MAX = 40

_DIGIT, _LETTER, _BLANK = re.compile(r"[0-9]"), re.compile(r"[^\W\d_]"), re.compile(r"\s")

_PATHS = ("/", "./", "../", "~/")


class Secrets:
    """Values under names like ``password`` or ``api_key``, in URLs and in headers."""

    name = "secret"
    version = 1

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where such values are."""
        if "=" in text or ":" in text:
            yield from self._assigned(text)
        if "://" in text:
            for match in _URL.finditer(text):
                if not _is_placeholder(match["value"]):
                    yield match.span("value")
        if "uthorization" in text or "UTHORIZATION" in text:
            for match in _HEADER.finditer(text):
                if not _is_placeholder(match["value"]):
                    yield match.span("value")

    def holds(self, key: str, value: str) -> bool:
        """Whether the value under this key of an object is a secret."""
        kind = _kind(key)
        if kind is None or _is_placeholder(value):
            return False
        return _is_random(value) if kind == "weak" else len(value) >= STRONG_MIN

    def _assigned(self, text: str) -> Iterator[tuple[int, int]]:
        at = 0
        while (match := _ASSIGNED.search(text, at)) is not None:
            at = match.end()
            kind = _kind(match["name"])
            if kind is None or text.startswith("//", at):
                continue
            quote = match["open"]
            value = _value(text, at, quote)
            if value and _is_secret(value, kind, match, quote):
                yield at, at + len(value)
                at += len(value)


def _value(text: str, at: int, quote: str) -> str:
    """The value that begins here; without quotes it ends at a blank."""
    if not quote:
        pattern = _BARE
    elif len(quote) > 1:
        pattern = _ESCAPED
    else:
        pattern = _QUOTED[quote]
    found = pattern.match(text, at)
    return "" if found is None else found[0]


def _kind(name: str) -> str | None:
    found = _NAME.search(name)
    return None if found is None or _OTHER.search(name) else found.lastgroup


def _is_secret(value: str, kind: str, match: re.Match[str], quote: str) -> bool:
    if _is_placeholder(value) or value.lower() == match["name"].lower():
        return False
    if kind == "weak":
        return _is_random(value)
    if len(value) < STRONG_MIN:
        return False
    if quote:
        return " " not in value or len(value) <= QUOTED_PROSE_MAX
    if value.startswith(_PATHS) or "://" in value or "(" in value:
        return False
    if _CODE.fullmatch(value):
        # A bare word is a secret where a shell or an .env file assigns it, not where code or
        # prose does; with digits in it, it is one everywhere.
        tight = match["sign"] == "=" and match["name"].isupper()
        return tight or (_mixed(value) and value.isalnum())
    return len(value) >= BARE_MIN


def _is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.fullmatch(value) is not None


def _mixed(value: str) -> bool:
    return _DIGIT.search(value) is not None and _LETTER.search(value) is not None


def _is_random(value: str) -> bool:
    """Whether a value looks as if a machine had drawn it."""
    if len(value) < RANDOM_MIN or _BLANK.search(value):
        return False
    return _mixed(value) and "(" not in value and not _NAMELIKE.fullmatch(value)
