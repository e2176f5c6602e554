"""Shapes of other tools' data that more than one plug-in needs: their adapter and their importer."""
