"""Measures warmtoken beside its peers: `python -m benches`."""
