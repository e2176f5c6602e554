"""Activities: what agents did beside the conversation, numbered by kind and indexed by subject."""
