"""Whether Microsoft's broker is installed: it is not."""


def is_pymsalruntime_installed() -> bool:
    """Return False."""
    return False
