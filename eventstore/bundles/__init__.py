"""Bundles: a log, or sessions of it, as files that an outsider can check."""
