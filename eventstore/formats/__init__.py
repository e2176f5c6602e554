"""Shapes of other tools' data that both their adapter and their importer need."""
