"""Sessions, messages, tool calls, usage and compactions as Parquet files."""
