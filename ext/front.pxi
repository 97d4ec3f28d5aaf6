# --- the hit path ----------------------------------------------------------------------------------------------------
# The public methods begin here, so that a hit is one compiled call and no Python frame: a Python function would look up
# the default of every keyword that was not passed. All else goes on in Python, in the methods that begin with a _.

cdef inline object _answered(ResultPath path, Hit hit):
    return hit.result if path._dress is None and hit.witnesses is not None else _dressed_or_refused(path, hit)


cdef object _dressed_or_refused(ResultPath path, Hit hit):
    if hit.witnesses is None:
        return path._refuse(hit.result)
    return hit.result if path._dress is None else path._dress(hit.result)


cdef class ResultPath:
    """The part of an application that answers from memory.

    `_users` and `_own` are its windows on what is kept, None before the first result. `_dress` turns a result into what
    the methods return, such as a coroutine; None leaves it as it is.
    """
    cdef public View _users
    cdef public View _own
    cdef public object _dress

    @classmethod
    def __class_getitem__(cls, parameters):
        return cls

    cpdef _dressed(self, result):
        return result if self._dress is None else self._dress(result)


cdef class HitPath(ResultPath):
    """What answers users from memory: `acquire_token_silent`."""

    def hit(self, scopes, account=None, variant=None):
        """Return the result kept for a user's request, or None; for the library's own layers."""
        cdef Hit hit = None if self._users is None else self._users.find(scopes, account, variant)
        return None if hit is None or hit.witnesses is None else self._dressed(hit.result)

    @cython.binding(False)
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
                return _answered(self, hit)
        return self._acquire_token_silent(
            scopes, account, login_hint, tenant_id, force_refresh, claims, min_validity, correlation_id,
            client_claims, refresh_if_sha256
        )


cdef class ClientHitPath(HitPath):
    """The same for an application with a credential, which has tokens of its own."""

    @cython.binding(False)
    def acquire_token_for_client(self, scopes, *, tenant_id=None, force_refresh=False, claims=None, min_validity=None,
                                 correlation_id=None, client_claims=None, refresh_if_sha256=None, fmi_path=None):
        """Return an access token of the service itself: from the cache, else with its credential.

        The arguments are those of `acquire_token_silent`. `fmi_path` asks Microsoft Entra for a federated managed
        identity's credential under this path, such as an agent identity's client id; a token that was made for a path
        serves no other request (MSAL.NET's WithFmiPath). Raises ServiceError, ProtocolError and TransportError where
        the provider fails (RFC 6749, section 4.4), and CacheError where the cache does.
        """
        cdef Hit hit
        if (
            self._own is not None and force_refresh is False and claims is None and min_validity is None
            and correlation_id is None and client_claims is None and refresh_if_sha256 is None and fmi_path is None
        ):
            hit = self._own.find(scopes, None, tenant_id)
            if hit is not None:
                return _answered(self, hit)
        return self._acquire_token_for_client(
            scopes, tenant_id, force_refresh, claims, min_validity, correlation_id, client_claims, refresh_if_sha256,
            fmi_path
        )


cdef class ManagedIdentityHitPath(ResultPath):
    """The same for a managed identity, which has no users."""

    @cython.binding(False)
    def acquire_token_for_managed_identity(self, resource, *, force_refresh=False, claims=None, min_validity=None,
                                           correlation_id=None):
        """Return an access token of the managed identity for a resource: from the cache, else from where it runs.

        `resource` is a text such as "https://vault.azure.net"; "/.default" at its end is left out. `claims` (a claims
        challenge) and `force_refresh` bypass the cached token; `min_validity` is the number of seconds that the token
        must last at least. Raises ServiceError (`managed_identity_request_failed`) where the endpoint refuses,
        ProtocolError for a reply that is none, TransportError (`managed_identity_unreachable_network`) where nothing
        answers, ClientError where the environment names no endpoint to be used or none for this identity, and
        CacheError where the cache fails. Follows MSAL.NET's AcquireTokenForManagedIdentity.
        """
        cdef Hit hit
        if (
            self._own is not None and force_refresh is False and claims is None and min_validity is None
            and correlation_id is None
        ):
            hit = self._own.find((resource,), None, None)
            if hit is not None:
                return _answered(self, hit)
        return self._acquire_token_for_managed_identity(resource, force_refresh, claims, min_validity, correlation_id)


# What Cython makes of a method takes and drops a reference to each argument, given or not: that alone was a quarter of
# a hit. So the methods are entered here. Calls that ask for nothing but scopes, account and tenant are looked up
# at once; all others, and all that are not in memory, go on to the method itself.

ctypedef object (*Method)(ResultPath path, PyObject **values, Py_ssize_t count, PyObject *names)

cdef Method _silent_with_all, _for_client_with_all, _for_identity_with_all
cdef str _SCOPES = "scopes"
cdef str _ACCOUNT = "account"
cdef str _TENANT_ID = "tenant_id"
cdef str _FORCE_REFRESH = "force_refresh"
cdef str _CLAIMS = "claims"

cdef struct Plain:  # `account` is NULL where it was not given
    PyObject *scopes
    PyObject *account
    PyObject *tenant_id


cdef inline bint _is_plain(Plain *asked, PyObject **values, Py_ssize_t count, PyObject *names) noexcept:
    if count > 2:
        return False
    asked.scopes = values[0] if count else NULL
    asked.account = values[1] if count == 2 else NULL
    asked.tenant_id = <PyObject *>None
    return count > 0 if names == NULL else _are_plain(asked, values + count, count, names)


cdef bint _are_plain(Plain *asked, PyObject **values, Py_ssize_t count, PyObject *names) noexcept:
    cdef Py_ssize_t i
    cdef PyObject *name
    for i in range(PyTuple_GET_SIZE(<object>names)):
        name = PyTuple_GET_ITEM(<object>names, i)
        if name == <PyObject *>_ACCOUNT and count < 2:
            asked.account = values[i]
        elif name == <PyObject *>_SCOPES and count == 0:
            asked.scopes = values[i]
        elif name == <PyObject *>_TENANT_ID:
            asked.tenant_id = values[i]
        elif name == <PyObject *>_FORCE_REFRESH:
            if <object>values[i] is not False:
                return False
        elif name != <PyObject *>_CLAIMS or <object>values[i] is not None:
            return False
    return asked.scopes != NULL


cdef object _silent(ResultPath path, PyObject **values, Py_ssize_t count, PyObject *names):
    cdef Plain asked
    cdef Hit hit
    if path._users is not None and _is_plain(&asked, values, count, names):
        if asked.account == NULL:
            asked.account = <PyObject *>None
        hit = path._users.find(<object>asked.scopes, <object>asked.account, <object>asked.tenant_id)
        if hit is not None:
            return _answered(path, hit)
    return _silent_with_all(path, values, count, names)


cdef object _for_client(ResultPath path, PyObject **values, Py_ssize_t count, PyObject *names):
    cdef Plain asked
    cdef Hit hit
    if path._own is not None and _is_plain(&asked, values, count, names) and asked.account == NULL:
        hit = path._own.find(<object>asked.scopes, None, <object>asked.tenant_id)
        if hit is not None:
            return _answered(path, hit)
    return _for_client_with_all(path, values, count, names)


cdef object _for_identity(ResultPath path, PyObject **values, Py_ssize_t count, PyObject *names):
    cdef Hit hit
    if path._own is not None and count == 1 and names == NULL:
        hit = path._own.find((<object>values[0],), None, None)
        if hit is not None:
            return _answered(path, hit)
    return _for_identity_with_all(path, values, count, names)


cdef Method _enter(object method, Method entrance) except NULL:
    """Let a method be entered another way, and return the way before."""
    cdef PyMethodDef *definition = (<PyMethodDescrObject *>method).d_method
    cdef Method before = <Method>definition.ml_meth
    if definition.ml_flags != METH_FASTCALL | METH_KEYWORDS:
        raise ImportError("expected methods that take their arguments as an array; build with another Cython")
    definition.ml_meth = <void *>entrance
    return before


_silent_with_all = _enter(HitPath.__dict__["acquire_token_silent"], _silent)
_for_client_with_all = _enter(ClientHitPath.__dict__["acquire_token_for_client"], _for_client)
_for_identity_with_all = _enter(
    ManagedIdentityHitPath.__dict__["acquire_token_for_managed_identity"], _for_identity
)
