"""What the tests of the nanobot adapter share: the original, and values to give it."""

from __future__ import annotations

import math
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import pytest
from engine_support import budget
from hypothesis import settings
from hypothesis import strategies as st

from eventstore.adapters.nanobot import SessionManager


def installed() -> str:
    """The version of nanobot that is installed, empty if none is."""
    try:
        return metadata.version("nanobot-ai")
    except metadata.PackageNotFoundError:
        return ""


OLD = installed().startswith("0.1.")
NEW = bool(installed()) and not OLD

needs_old = pytest.mark.skipif(
    not OLD,
    reason=f"needs nanobot-ai==0.1.4.post2 and loguru; installed is {installed() or 'none'}",
)
needs_new = pytest.mark.skipif(
    not NEW, reason=f"needs nanobot-ai>=0.3.5; installed is {installed() or 'none'}"
)


def original(workspace: Path) -> Any:
    """A session manager of the original package, which leaves the files in one's home alone."""
    manager = import_module("nanobot.session.manager").SessionManager(workspace)
    manager.legacy_sessions_dir = workspace / "none"
    return manager


def ours(workspace: Path, **options: Any) -> SessionManager:
    """A session manager of this project, quick rather than durable unless told otherwise."""
    return SessionManager(workspace, **{"durability": "normal", **options})


#: For rules that open a store, or two, for each example.
few = settings(max_examples=budget(40), deadline=None)
many = settings(deadline=None)


# -- values --------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.integers(),
    st.floats(allow_nan=False, allow_infinity=False), TEXT,
)  # fmt: skip
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3),
    ),
    max_leaves=6,
)  # fmt: skip
CALLS = st.lists(
    st.builds(
        lambda call_id, name, arguments: {
            "id": call_id, "type": "function", "function": {"name": name, "arguments": arguments},
        },
        TEXT, TEXT, st.one_of(TEXT, JSON),
    ),
    min_size=1, max_size=2,
)  # fmt: skip
PARTS = st.lists(st.fixed_dictionaries({"type": TEXT, "text": TEXT}), max_size=2)
ROLES = st.sampled_from(["user", "assistant", "tool", "system"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "name": st.one_of(TEXT, JSON),
        "tool_calls": st.one_of(CALLS, JSON),
        "tool_call_id": st.one_of(TEXT, JSON),
        "reasoning_content": st.one_of(TEXT, JSON),
        "timestamp": st.one_of(JSON, st.just("2026-01-05T10:00:00")),
        "_type": TEXT.filter(lambda text: text != "metadata"),
        "extra": JSON,
        "": JSON,
    },
)
#: Any message that may stand in the list, one without role or with an odd one included.
MESSAGES = st.one_of(
    st.builds(
        lambda role, content, fields: {"role": role, "content": content, **fields},
        ROLES, st.one_of(TEXT, PARTS, JSON), FIELDS,
    ),
    st.builds(
        lambda role, fields: {"role": role, **fields}, st.one_of(ROLES, JSON), FIELDS
    ),
    FIELDS,
)  # fmt: skip


def exactly(value: Any) -> Any:
    """A text that is the same for values that are equal and of the same types throughout."""
    if isinstance(value, dict):
        return {"dict": sorted((key, repr(exactly(item))) for key, item in value.items())}
    if isinstance(value, list | tuple):
        return [type(value).__name__, *(exactly(item) for item in value)]
    assert not isinstance(value, float) or math.isfinite(value)
    return repr(value)
