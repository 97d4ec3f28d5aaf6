"""Other libraries' caches and interfaces."""
