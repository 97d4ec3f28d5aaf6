# --- reading ---------------------------------------------------------------------------------------------------------
# A snapshot lives inside one function, runs no Python code, and hands out copies as bytes: nothing in between can
# collect garbage, switch threads or come back here.

cdef struct Found:
    MDB_val value
    int64_t expires_ms
    unsigned char[KEY_SIZE] key


cdef bytes _copy(MDB_val *value):
    return PyBytes_FromStringAndSize(<char *>value.mv_data, value.mv_size)


cdef object _get(Store store, int db, bytes key):
    # Within a snapshot; None where there is no such record.
    cdef MDB_val wanted = _bytes_val(key)
    cdef MDB_val value
    if mdb_get(store.reader, store.dbis[db], &wanted, &value) != MDB_SUCCESS:
        return None
    return _copy(&value)


def read(Store store not None, int db, bytes key not None):
    """Return (transaction id, value or None) of one key."""
    cdef object value
    cdef uint64_t txnid
    _check_db(db)
    store._begin_read()
    try:
        value = _get(store, db, key)
        txnid = store._snapshot_id()
    finally:
        store._end_read()
    return txnid, value


cdef enum:
    PAGE = 256  # pairs

def scan(Store store not None, int db, bytes prefix not None, after=None, int limit=PAGE):
    """Return up to `limit` pairs (key, value) under a prefix in key order, beginning behind `after`."""
    cdef MDB_cursor *cursor = NULL
    cdef MDB_val key, value
    cdef bytes start = (prefix or b"\0") if after is None else after + b"\0"
    cdef PyObject **harvest
    cdef int rc, count = 0
    _check_db(db)
    harvest = <PyObject **>calloc(2 * limit + 1, sizeof(PyObject *))
    if harvest == NULL:
        raise MemoryError
    key = _bytes_val(start)
    try:
        store._begin_read()
        try:
            rc = mdb_cursor_open(store.reader, store.dbis[db], &cursor)
            if rc == MDB_SUCCESS:
                rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
            while rc == MDB_SUCCESS and count < limit and _starts_with(&key, PyBytes_AS_STRING(prefix), len(prefix)):
                harvest[2 * count] = _keep(_copy(&key))
                harvest[2 * count + 1] = _keep(_copy(&value))
                count += 1
                rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
            if cursor != NULL:
                mdb_cursor_close(cursor)
        finally:
            store._end_read()
        if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
            _check(rc, f"reading {store.path}")
        return [(<object>harvest[2 * i], <object>harvest[2 * i + 1]) for i in range(count)]
    finally:
        for i in range(2 * count):
            Py_XDECREF(harvest[i])
        free(harvest)


def pages(Store store not None, int db, bytes prefix not None, int size=PAGE, int first=0):
    """Yield all that `scan` finds as lists of `size` pairs at most, the first one of `first` where that is not 0.

    Each is a snapshot of its own: a long listing pins no old pages of the file.
    """
    cdef int limit = first or size
    after = None
    while page := scan(store, db, prefix, after, limit):
        yield page
        if len(page) < limit:
            return
        after, limit = page[len(page) - 1][0], size  # no index from the end: wraparound is off


cdef PyObject *_keep(bytes item) noexcept:
    Py_INCREF(item)
    return <PyObject *>item


cdef int _check_db(int db) except -1:
    if not 0 <= db < DB_COUNT:
        raise ValueError(f"expected a database number from 0 to {DB_COUNT - 1}, got {db}")
    return 0


def find_token(Store store not None, bytes key not None, bytes scopes not None, int64_t usable_after_ms,
               bytes identity_key):
    """Return (transaction id, key, value, id token's value) of the access token that serves a request.

    `key` names the token with exactly the scopes asked for; `scopes` holds the 8-byte hash of each of them (or of
    the slot alone, where none is asked for), by which tokens with more scopes are found. Of all that cover the
    request the one that expires last is chosen, unless the exact one is usable after `usable_after_ms` (Unix
    milliseconds). What is not there is None.
    """
    cdef Found best
    cdef uint64_t txnid
    cdef bytes value = None, found = None
    cdef object identity = None
    cdef int rc
    if len(key) != KEY_SIZE or not scopes or len(scopes) % SCOPE_SIZE:
        raise ValueError(f"expected a key of {KEY_SIZE} bytes and scopes of {SCOPE_SIZE} bytes each")
    store._begin_read()
    try:
        rc = _find(store, PyBytes_AS_STRING(key), scopes, usable_after_ms, &best)
        txnid = store._snapshot_id()
        store._note(txnid)
        if rc == MDB_SUCCESS:
            value = _copy(&best.value)
            found = PyBytes_FromStringAndSize(<char *>best.key, KEY_SIZE)
            if identity_key is not None:
                identity = _get(store, DB_IDENTITY, identity_key)
    finally:
        store._end_read()
    if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
        _check(rc, f"reading {store.path}")
    return txnid, found, value, identity


cdef int _find(Store store, const char *key, bytes scopes, int64_t usable_after_ms, Found *best) noexcept:
    cdef MDB_val wanted = _val(key, KEY_SIZE)
    cdef int rc = mdb_get(store.reader, store.dbis[DB_ACCESS], &wanted, &best.value)
    best.expires_ms = -1
    if rc == MDB_SUCCESS:
        memcpy(best.key, key, KEY_SIZE)
        best.expires_ms = _expires_ms(&best.value)
        if best.expires_ms > usable_after_ms:
            return rc
    elif rc != MDB_NOTFOUND:
        return rc
    return _find_superset(store, key, PyBytes_AS_STRING(scopes), PyBytes_GET_SIZE(scopes) // SCOPE_SIZE, best)


cdef int _find_superset(Store store, const char *partition, const char *scopes, Py_ssize_t n, Found *best) noexcept:
    cdef MDB_cursor *cursor = NULL
    cdef MDB_val index, nothing
    cdef unsigned char[PARTITION_SIZE + SCOPE_SIZE] prefix
    cdef int rc = mdb_cursor_open(store.reader, store.dbis[DB_SCOPE], &cursor)
    if rc != MDB_SUCCESS:
        return rc
    memcpy(prefix, partition, PARTITION_SIZE)
    memcpy(prefix + PARTITION_SIZE, scopes, SCOPE_SIZE)
    index = _val(prefix, sizeof(prefix))
    rc = mdb_cursor_get(cursor, &index, &nothing, MDB_SET_RANGE)
    while rc == MDB_SUCCESS and _starts_with(&index, prefix, sizeof(prefix)):
        _consider(store, <const unsigned char *>index.mv_data, scopes, n, best)
        rc = mdb_cursor_get(cursor, &index, &nothing, MDB_NEXT)
    mdb_cursor_close(cursor)
    if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
        return rc
    return MDB_SUCCESS if best.expires_ms >= 0 else MDB_NOTFOUND


cdef void _consider(Store store, const unsigned char *index, const char *scopes, Py_ssize_t n, Found *best) noexcept:
    # Take the token of this index entry if it has the other scopes too and expires later than the best so far.
    cdef unsigned char[INDEX_KEY_SIZE] other
    cdef unsigned char[KEY_SIZE] key
    cdef MDB_val wanted, value
    cdef Py_ssize_t i
    memcpy(other, index, INDEX_KEY_SIZE)
    for i in range(1, n):
        memcpy(other + PARTITION_SIZE, scopes + i * SCOPE_SIZE, SCOPE_SIZE)
        wanted = _val(other, INDEX_KEY_SIZE)
        if mdb_get(store.reader, store.dbis[DB_SCOPE], &wanted, &value) != MDB_SUCCESS:
            return
    memcpy(key, index, PARTITION_SIZE)
    memcpy(key + PARTITION_SIZE, index + PARTITION_SIZE + SCOPE_SIZE, TOKEN_SIZE)
    wanted = _val(key, KEY_SIZE)
    if mdb_get(store.reader, store.dbis[DB_ACCESS], &wanted, &value) != MDB_SUCCESS:
        return
    if _expires_ms(&value) > best.expires_ms:
        best.value = value
        best.expires_ms = _expires_ms(&value)
        memcpy(best.key, key, KEY_SIZE)
