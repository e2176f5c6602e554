"""The catalogue of events and the one place where stored bytes become events."""
