"""Event-sourced storage for agent sessions."""
