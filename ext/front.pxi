# --- the hit path ----------------------------------------------------------------------------------------------------
# The public methods begin here, so that a hit is one compiled call and no Python frame: a Python function would look up
# the default of every keyword that was not passed. All else goes on in Python, in the methods that begin with a _.

cdef class HitPath:
    """The part of an application that answers from memory: `acquire_token_silent` for users.

    `_users` and `_own` are its windows on what is kept, None before the first result. `_dress` turns a result into what
    the methods return, such as a coroutine; None leaves it as it is.
    """
    cdef public View _users
    cdef public View _own
    cdef public object _dress

    @classmethod
    def __class_getitem__(cls, parameters):
        return cls

    def hit(self, scopes, account=None, variant=None):
        """Return the result kept for a user's request, or None; for the library's own layers."""
        cdef Hit hit = None if self._users is None else self._users.find(scopes, account, variant)
        return None if hit is None or hit.witnesses is None else self._dressed(hit.result)

    cpdef _dressed(self, result):
        return result if self._dress is None else self._dress(result)

    def acquire_token_silent(self, scopes, account=None, *, login_hint=None, tenant_id=None, force_refresh=False,
                             claims=None, min_validity=None, correlation_id=None, client_claims=None,
                             refresh_if_sha256=None):
        """Return an access token without the user: from the cache, else by the refresh token.

        A token serves if its scopes cover those asked for. `claims` (a claims challenge) and `force_refresh` bypass
        cached access tokens; `min_validity` is the number of seconds that the token must last at least.
        `client_claims` (a JSON object) asks for claims without bypassing the cache: a token that was made with them
        serves no other request, and no other token serves this one. `refresh_if_sha256` is the SHA-256, in
        hexadecimal, of an access token that an API refused: that token alone is not served again. Raises
        UiRequiredError where the user must sign in (`user_null`, `no_tokens_found`, `invalid_grant` …), ServiceError,
        ProtocolError and TransportError where the provider fails, CacheError where the cache does. Follows MSAL.NET's
        AcquireTokenSilent.
        """
        cdef Hit hit
        if (
            self._users is not None and force_refresh is False and claims is None and min_validity is None
            and correlation_id is None and client_claims is None and refresh_if_sha256 is None
        ):
            hit = self._users.find(scopes, account, tenant_id)
            if hit is not None:
                return self._dressed(hit.result) if hit.witnesses is not None else self._refuse(hit.result)
        return self._acquire_token_silent(
            scopes, account, login_hint, tenant_id, force_refresh, claims, min_validity, correlation_id,
            client_claims, refresh_if_sha256
        )


cdef class ClientHitPath(HitPath):
    """The same for an application with a credential, which has tokens of its own."""

    def acquire_token_for_client(self, scopes, *, tenant_id=None, force_refresh=False, claims=None, min_validity=None,
                                 correlation_id=None, client_claims=None, refresh_if_sha256=None):
        """Return an access token of the service itself: from the cache, else with its credential.

        The arguments are those of `acquire_token_silent`. Raises ServiceError, ProtocolError and TransportError where the provider fails (RFC 6749, section 4.4), and
        CacheError where the cache does.
        """
        cdef Hit hit
        if (
            self._own is not None and force_refresh is False and claims is None and min_validity is None
            and correlation_id is None and client_claims is None and refresh_if_sha256 is None
        ):
            hit = self._own.find(scopes, None, tenant_id)
            if hit is not None:
                return self._dressed(hit.result)
        return self._acquire_token_for_client(
            scopes, tenant_id, force_refresh, claims, min_validity, correlation_id, client_claims, refresh_if_sha256
        )
