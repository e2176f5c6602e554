"""Importer of power-loop's session databases (0.2.0 and later, up to 8).

A session becomes the events that must have happened: created, its messages in order of seq,
compactions where their notes are, usage, and what is in force at the end. Ids, seqs and times are
kept. What the tables do not say (earlier prompts, when a round advanced) cannot come back.
"""
