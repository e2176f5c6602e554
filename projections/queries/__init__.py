"""Reading the built-in projections. Each function takes a connection that is in one snapshot."""
