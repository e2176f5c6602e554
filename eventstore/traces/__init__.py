"""Traces: what erased text leaves in a file, and how that is found and removed."""

from eventstore.traces import due
from eventstore.traces.finishing import Finished, finish, resume
from eventstore.traces.needles import Needles, gather, of_replaced

__all__ = ["Finished", "Needles", "due", "finish", "gather", "of_replaced", "resume"]
