"""Exports: the log, or sessions of it, in the formats that other people use.

A format is a plug-in (`registry`); `runner.export` runs one, and records in the log what went out.
"""
