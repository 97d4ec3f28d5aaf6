# --- finished results ------------------------------------------------------------------------------------------------
# The dataclasses of `models` are filled through the descriptors of their slots, as their own __init__ would do, which
# costs ten times as much: object.__setattr__ for every field of a frozen one.

cdef list _RESULT_SLOTS = [AuthenticationResult.__dict__[name] for name in AuthenticationResult.__slots__]
cdef list _METADATA_SLOTS = [ResultMetadata.__dict__[name] for name in ResultMetadata.__slots__]
cdef object _IN_MEMORY = ResultMetadata("cache", cache_level="L1")


cdef object _filled(type kind, list slots, tuple values):
    cdef object made = (<PyTypeObject *>kind).tp_alloc(<PyTypeObject *>kind, 0)
    cdef PyObject *slot
    cdef Py_ssize_t i
    for i in range(PyTuple_GET_SIZE(values)):
        slot = PyList_GET_ITEM(slots, i)
        Py_TYPE(<object>slot).tp_descr_set(<object>slot, made, <object>PyTuple_GET_ITEM(values, i))
    return made


cdef object _metadata(str level, int64_t refresh_on, double duration_ms, str reason):
    if refresh_on == 0 and duration_ms == 0.0 and level == "L1" and reason == "not_applicable":
        return _IN_MEMORY
    return _filled(
        ResultMetadata,
        _METADATA_SLOTS,
        ("cache", reason, level, refresh_on or None, duration_ms, 0.0, None),
    )


def cached_result(CachedToken token not None, account, str level not None, double duration_ms, correlation_id,
                  str reason not None="not_applicable"):
    """Return the AuthenticationResult for an access token that came from the cache.

    `reason` says why a refresh was tried before.
    """
    return _cached_result(token, account, level, duration_ms, correlation_id, reason)


cdef object _cached_result(CachedToken token, account, str level, double duration_ms, correlation_id, str reason):
    return _filled(
        AuthenticationResult,
        _RESULT_SLOTS,
        (
            token.secret,
            token.expires_on,
            token.scopes,
            token.token_type,
            account,
            token.id_token,
            token.realm,
            token.local_account_id,
            correlation_id,
            _metadata(level, token.refresh_on, duration_ms, reason),
            (),
        ),
    )


if AuthenticationResult.__slots__ != (
    "access_token", "expires_on", "scopes", "token_type", "account", "id_token", "tenant_id", "unique_id",
    "correlation_id", "metadata", "more",
) or ResultMetadata.__slots__ != (
    "token_source", "cache_refresh_reason", "cache_level", "refresh_on", "duration_total_ms", "duration_http_ms",
    "token_endpoint",
):
    raise ImportError("expected the fields of the results in the order that the engine fills them in")
