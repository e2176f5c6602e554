"""The projections that every store has: structural ones, from facts alone, written inline."""

from __future__ import annotations

from projections.base import Projection, combined_version
from projections.builtin.compactions import Compactions
from projections.builtin.lineage import Lineage
from projections.builtin.messages import Messages
from projections.builtin.sessions import Sessions
from projections.builtin.tool_calls import ToolCalls
from projections.builtin.usage import Usage

#: In the order in which they are applied.
BUILTIN: tuple[type[Projection], ...] = (
    Sessions,
    Messages,
    Compactions,
    Usage,
    ToolCalls,
    Lineage,
)

#: Of the built-in projections together: tables that another version made are derived anew.
VERSION = combined_version(BUILTIN)
