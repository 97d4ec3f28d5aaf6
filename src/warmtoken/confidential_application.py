"""The confidential client's application of programs without an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from warmtoken.application import Blocking
from warmtoken.confidential_client import ConfidentialClient
from warmtoken.models import Account, AuthenticationResult

if TYPE_CHECKING:
    from warmtoken.notices import AuthCodeFlow, LongRunningSession, TenantProfile
    from warmtoken.transport import Transport

_Token = AuthenticationResult
_Accounts = list[Account]
_Account = Account | None
_Profiles: TypeAlias = "list[TenantProfile]"
_AuthCodeFlow: TypeAlias = "AuthCodeFlow"
_Session: TypeAlias = "LongRunningSession"
_Transport: TypeAlias = "Transport"


class ConfidentialClientApplication(
    ConfidentialClient[_Token, _Accounts, _Account, None, _Profiles, _AuthCodeFlow, _Transport, _Session, bool],
    Blocking,
):
    __doc__ = ConfidentialClient.__doc__
