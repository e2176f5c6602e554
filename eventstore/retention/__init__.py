"""Retention: what is kept how long, said in policies, and done by `retain`.

A policy names sessions (by age, source, kind, status, or as many as make the store small enough)
and what becomes of them: closed, their old content erased, or erased as a whole. Facts and hashes
always stay, so `verify` passes afterwards. What is under a legal hold is passed over and listed.
"""

from eventstore.retention.planning import Held, Step
from eventstore.retention.policies import Action, Policy, read_policies
from eventstore.retention.running import Retention, retain

__all__ = ["Action", "Held", "Policy", "Retention", "Step", "read_policies", "retain"]
