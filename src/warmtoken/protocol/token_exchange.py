"""OAuth 2.0 Token Exchange (RFC 8693): how providers other than Microsoft's let an API act on behalf of its caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warmtoken.errors import ProtocolError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from warmtoken.protocol.authority import Authority
    from warmtoken.protocol.discovery import ProviderMetadata
    from warmtoken.protocol.token_reply import TokenReply

TOKEN_EXCHANGE_GRANT = "urn:ietf:params:oauth:grant-type:token-exchange"
_ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
_USABLE = (_ACCESS_TOKEN, "urn:ietf:params:oauth:token-type:jwt")


def knows_token_exchange(authority: Authority, metadata: ProviderMetadata) -> bool:
    """Tell whether a provider exchanges tokens; Microsoft's services have a grant of their own for that."""
    return authority.kind == "oidc" and TOKEN_EXCHANGE_GRANT in metadata.grant_types


def exchange_fields(user_assertion: str) -> Mapping[str, str]:
    """Return what a request says to trade a user's access token for another one (RFC 8693, section 2.1)."""
    return {
        "grant_type": TOKEN_EXCHANGE_GRANT,
        "subject_token": user_assertion,
        "subject_token_type": _ACCESS_TOKEN,
        "requested_token_type": _ACCESS_TOKEN,
    }


def check_issued_token(reply: TokenReply, correlation_id: str) -> None:
    """Raise ProtocolError `issued_token_type_mismatch` for a reply that says it is no access token.

    One that does not say is taken for what was asked for, although it has to (RFC 8693, section 2.2.1).
    """
    issued = reply.extra.get("issued_token_type")
    if issued is not None and issued not in _USABLE:
        raise ProtocolError(
            "issued_token_type_mismatch",
            "expected an access token from the token exchange, the reply says that it is another type of token; "
            "see that the provider exchanges access tokens for this client",
            correlation_id=correlation_id,
        )
