"""Erasing with everything that was derived from it: selections, plans, receipts."""

from eventstore.erasing.erasing import Reach, Receipt, erase, plan
from eventstore.erasing.expansion import Rule
from eventstore.erasing.planning import Item, Plan
from eventstore.erasing.selection import Selection

__all__ = ["Item", "Plan", "Reach", "Receipt", "Rule", "Selection", "erase", "plan"]
