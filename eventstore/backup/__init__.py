"""Copies of a store: made while it is in use, verified, and put back without what was erased."""

from eventstore.backup.copying import Backup, backup
from eventstore.backup.erasures import Erasure, erasures, exported
from eventstore.backup.restoring import Restored, restore

__all__ = ["Backup", "Erasure", "Restored", "backup", "erasures", "exported", "restore"]
