"""The protocol as pure functions: build requests, check and parse replies; nothing here does I/O."""
