"""Tests of the whole library against a certified identity provider."""
