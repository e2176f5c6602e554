"""Drop-in replacements for other session stores; each adapter owns no tables."""
