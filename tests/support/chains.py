"""What an error tells whoever gets it, and tools that report errors with all that came before."""

from __future__ import annotations

_HOLDING = ("doc", "object")  # the attributes in which decoders keep what they were to decode


def all_that_is_told_by(error: BaseException | None) -> str:
    """Everything that an error and those before it say and hold."""
    told: list[str] = []
    while error is not None:
        told += [repr(error), str(error), repr(error.args), repr(error.__dict__)]
        told += [repr(getattr(error, name, "")) for name in _HOLDING]
        error = error.__cause__ or error.__context__
    return "\n".join(told)
