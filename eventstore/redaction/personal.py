"""Detectors of what belongs to persons: e-mail addresses, telephone, card and account numbers.

Numbers are found by their form and, where they have them, their check digits; a number of another
kind may pass by chance, so only addresses are looked for unless told otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

#: Letters of names and domains. Others are not taken for theirs, since text that is written without
#: blanks follows an address without one.
_LATIN = "A-Za-z\u00c0-\u024f"

_ENDS_HOST = re.compile(r"[\s/\"'<>]")

#: The shortest account number there is.
IBAN_MIN = 15


class Emails:
    """E-mail addresses."""

    name = "email"
    version = 1
    _local = re.compile(rf"[{_LATIN}0-9._%+'-]{{1,64}}$")
    _domain = re.compile(
        rf"(?:[{_LATIN}0-9](?:[{_LATIN}0-9-]{{0,61}}[{_LATIN}0-9])?\.){{1,8}}"
        r"(?P<top>[A-Za-z]{2,24}|xn--[a-z0-9-]{2,59})(?![A-Za-z0-9_@-])"
    )
    #: Ends of file names, which stand behind an @ in the names of assets and packages.
    _files = frozenset({
        "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "js", "mjs", "cjs", "ts", "tsx", "jsx",
        "css", "scss", "html", "json", "yaml", "yml", "toml", "txt", "lock", "dll", "exe", "tgz",
    })  # fmt: skip

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where addresses are."""
        at = -1
        while (at := text.find("@", at + 1)) >= 0:
            domain = self._domain.match(text, at + 1)
            if domain is None or domain["top"].lower() in self._files:
                continue
            local = self._local.search(text[max(0, at - 64) : at])
            if local is None or _is_in_url(text, at):
                continue
            name = local[0].lstrip("'.-%")
            if (
                not name
                or name.endswith(".")
                or (name == "git" and text[domain.end() :][:1] == ":")
            ):
                continue
            yield at - len(name), domain.end()


def _is_in_url(text: str, at: int) -> bool:
    """Whether this @ stands behind a user's name and password in a URL."""
    begin = text.rfind("://", max(0, at - 400), at)
    return begin >= 0 and not _ENDS_HOST.search(text, begin + 3, at)


class Phones:
    """Telephone numbers in international form, with their plus sign."""

    name = "phone"
    version = 1
    _pattern = re.compile(r"(?<![\w+])\+[1-9](?:[ ./()-]{0,2}[0-9]){7,14}(?![0-9])", re.ASCII)

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where numbers are."""
        if "+" in text:
            for match in self._pattern.finditer(text):
                yield match.span()


class CreditCards:
    """Numbers of payment cards: a known beginning, the right length, the right check digit."""

    name = "credit-card"
    version = 1
    _pattern = re.compile(r"(?<![\w.-])[2-6](?:[ -]?[0-9]){12,18}(?![\w-])", re.ASCII)
    _known = re.compile(
        r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})|5[1-5][0-9]{14}|2[2-7][0-9]{14}|3[47][0-9]{13}"
        r"|3(?:0[0-5]|[68][0-9])[0-9]{11}|6(?:011|5[0-9]{2}|4[4-9][0-9])[0-9]{12}|35[0-9]{14}"
    )

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where numbers are."""
        for match in self._pattern.finditer(text):
            digits = re.sub("[ -]", "", match[0])
            if self._known.fullmatch(digits) and _luhn(digits):
                yield match.span()


class BankAccounts:
    """IBANs, which begin with a country and have check digits."""

    name = "iban"
    version = 1
    _pattern = re.compile(
        r"(?<![A-Za-z0-9])[A-Z]{2}[0-9]{2}"
        r"(?:[A-Z0-9]{11,30}|(?: [A-Z0-9]{4}){2,7}(?: [A-Z0-9]{1,3})?)(?![A-Za-z0-9])"
    )

    def find(self, text: str) -> Iterator[tuple[int, int]]:
        """Where numbers are."""
        for match in self._pattern.finditer(text):
            found = match[0]
            while not _checks(found) and " " in found:  # words in capitals may follow
                found = found.rpartition(" ")[0]
            if _checks(found):
                yield match.start(), match.start() + len(found)


def _luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def _checks(number: str) -> bool:
    number = number.replace(" ", "")
    if len(number) < IBAN_MIN:
        return False
    turned = number[4:] + number[:4]
    return int("".join(str(int(one, 36)) for one in turned)) % 97 == 1
