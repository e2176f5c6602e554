"""``python -m eventstore.cli``."""

from __future__ import annotations

from eventstore.cli import main

if __name__ == "__main__":
    main(prog_name="eventstore")
