"""What a detector is, which there are, and where more come from.

A detector finds texts that should not be kept. It has a name, which the mark in the text's place
shows (``[redacted: api-key]``), and a version, which goes up whenever it finds other things than
before. Installed packages offer detectors as entry points of the group `GROUP`, each a class or a
function that is called without arguments.

A detector sees one text at a time and finds what it knows: what it does not know stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from typing import Protocol, TypeAlias, runtime_checkable

from eventstore.errors import RedactionError
from eventstore.redaction.patterns import ApiKeys, JsonWebTokens, PrivateKeys
from eventstore.redaction.personal import BankAccounts, CreditCards, Emails, Phones
from eventstore.redaction.secrets import Secrets

#: Where a detector found something: the first character's index, and the one after the last's.
Span: TypeAlias = tuple[int, int]

#: The entry points of installed packages that offer detectors.
GROUP = "agent_eventstore.detectors"


@runtime_checkable
class Detector(Protocol):
    """Finds texts of one kind. `version` goes up whenever it finds others than before."""

    name: str
    version: int

    def find(self, text: str) -> Iterable[Span]:
        """Where in the text something is. Takes time that grows with the text's length alone."""


@runtime_checkable
class KeyDetector(Detector, Protocol):
    """A detector that also knows secrets by the key that they stand under in an object."""

    def holds(self, key: str, value: str) -> bool:
        """Whether the value under this key is a secret, as a whole."""


#: Found unless told otherwise.
DEFAULT: tuple[Detector, ...] = (
    PrivateKeys(), JsonWebTokens(), ApiKeys(), Secrets(), Emails(),
)  # fmt: skip

#: Found when they are named: other numbers look like these.
OPTIONAL: tuple[Detector, ...] = (Phones(), CreditCards(), BankAccounts())


def available() -> dict[str, Detector]:
    """Every detector by name: the built-in ones and those of installed packages.

    Raises `RedactionError` for a package's that cannot be loaded or has the name of another one.
    """
    found: dict[str, Detector] = {one.name: one for one in (*DEFAULT, *OPTIONAL)}
    for point in entry_points(group=GROUP):
        try:
            detector = point.load()()
        except Exception as error:
            raise RedactionError(
                f"the detector {point.name!r} ({point.value}) cannot be loaded: {error}"
            ) from error
        require_detector(detector)
        if detector.name in found:
            raise RedactionError(f"there are two detectors of the name {detector.name!r}")
        found[detector.name] = detector
    return found


def named(names: Sequence[str]) -> tuple[Detector, ...]:
    """The detectors of these names; raises `RedactionError` for one that is not there."""
    found = available()
    for name in names:
        if name not in found:
            raise RedactionError(f"there is no detector {name!r}; there are {', '.join(found)}")
    return tuple(found[name] for name in dict.fromkeys(names))


def require_detector(detector: object) -> None:
    """Raise `RedactionError` unless this can be used as a detector."""
    name = getattr(detector, "name", None)
    if not (
        isinstance(detector, Detector)
        and isinstance(name, str)
        and NAME_MAX >= len(name) > 0
        and name.isascii()
        and all(part.isalnum() for part in name.split("-"))
        and isinstance(detector.version, int)
    ):
        raise RedactionError(
            f"a detector has a name of letters, digits and hyphens (at most {NAME_MAX}), a whole "
            f"number as version, and a method find, not {detector!r}"
        )


NAME_MAX = 40
