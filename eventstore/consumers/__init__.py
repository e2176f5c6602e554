"""Named consumers: places in the log that outlive the process which reads from there."""
