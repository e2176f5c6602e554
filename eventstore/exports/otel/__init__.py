"""Sessions as OpenTelemetry traces, by the semantic conventions for generative AI."""
