"""Which of a resource's managed identities a program acts as; loaded by those programs alone that act as one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SystemAssignedManagedIdentity:
    """The identity that Azure made for the resource in which the program runs, and that ends with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserAssignedManagedIdentity:
    """An identity that was assigned to the resource in which the program runs, named by exactly one of its ids.

    `client_id` and `object_id` (also called principal id) are GUIDs, `resource_id` is a path that begins with
    /subscriptions/. Raises TypeError and ValueError for anything else than one text.
    """

    client_id: str | None = None
    resource_id: str | None = None
    object_id: str | None = None

    def __post_init__(self) -> None:
        given = [value for value in (self.client_id, self.resource_id, self.object_id) if value is not None]
        if len(given) != 1:
            raise ValueError(f"expected one of client_id, resource_id and object_id, got {len(given)} of them")
        if not isinstance(given[0], str):
            raise TypeError(f"expected the id of a managed identity to be a str, got {type(given[0]).__name__}")
        if not (given[0].isascii() and given[0].isprintable() and given[0].strip()):
            raise ValueError("expected the id of a managed identity to be printable ASCII characters")


ManagedIdentityId = SystemAssignedManagedIdentity | UserAssignedManagedIdentity


def check_identity(identity: object) -> None:
    """Refuse what is no managed identity with a TypeError."""
    if not isinstance(identity, ManagedIdentityId):
        raise TypeError(
            "expected identity to be SystemAssignedManagedIdentity() or UserAssignedManagedIdentity(client_id=...), "
            f"got {type(identity).__name__}"
        )


def kind_and_id(identity: ManagedIdentityId) -> tuple[str, str]:
    """Return which of its ids names an identity, and that id; two empty texts for the system-assigned one."""
    if isinstance(identity, SystemAssignedManagedIdentity):
        return "", ""
    named = {"client_id": identity.client_id, "resource_id": identity.resource_id, "object_id": identity.object_id}
    return next((kind, value) for kind, value in named.items() if value is not None)
