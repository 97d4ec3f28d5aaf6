"""The token cache: records, their keys and seals, and the file that all processes share."""
