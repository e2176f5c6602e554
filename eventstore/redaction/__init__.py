"""Taking secrets and personal data out of content: before it is stored, or afterwards.

`Redactor`, given to `SessionStore.open`, puts marks like ``[redacted: api-key]`` in the place of
what its detectors find before anything is written. `redact` does the same to what is stored
already: the content is wiped as an erasure does, and what is left of it is stored anew. Either way
an event says what was replaced where, by which detector, and never what it was.

Detectors find what has a form that they know. What they do not find stays.
"""
