"""What MSAL Python's tests import from their own package, which its source distribution leaves out."""

import unittest

__all__ = ["unittest"]
