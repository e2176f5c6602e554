"""A package only so that no folder in it is found in the place of an original of its name."""
