"""Which texts can be sent and hashed."""

from __future__ import annotations


def is_unicode(text: str) -> bool:
    """Tell whether UTF-8 can encode a text: not what os.environ has for bytes that are no UTF-8.

    To be asked before, since the encoder's own error holds the whole text, which may be a secret.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
