"""One self-contained HTML page of a session: for reading, printing and handing on.

`write_page` writes it. It shows everything that is recorded of a session in the order in which it
was recorded, and marks what the model no longer sees, what was erased and what was cut. It is no
proof: a bundle is.
"""

from eventstore.exports.html.page import write_page

__all__ = ["write_page"]
