"""Going through a session's history again: step by step, or by running an agent against it."""
