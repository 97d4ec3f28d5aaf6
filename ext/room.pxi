# --- room: growth, sweeping, what is used ----------------------------------------------------------------------------

cdef int _sweep(Writer *writer, int64_t before_ms, size_t limit, size_t *swept) noexcept nogil:
    # Delete access tokens that expire before a time, the soonest first; the index is in that order.
    cdef unsigned char[EXPIRY_KEY_SIZE] expiry
    cdef MDB_val key
    cdef int rc
    swept[0] = 0
    while swept[0] < limit:
        rc = _soonest(writer, expiry)
        if rc != MDB_SUCCESS:
            return MDB_SUCCESS if rc == MDB_NOTFOUND else rc
        if wt_be64(expiry) >= before_ms:
            return MDB_SUCCESS
        rc = _delete_token(writer, expiry + 8)
        key = _val(expiry, EXPIRY_KEY_SIZE)
        if rc == MDB_SUCCESS:
            rc = _delete(writer, DB_EXPIRY, &key)  # deleted with its token, unless that was not there
        if rc != MDB_SUCCESS:
            return rc
        swept[0] += 1
    return MDB_SUCCESS


cdef int _soonest(Writer *writer, unsigned char *expiry) noexcept nogil:
    cdef MDB_cursor *cursor = NULL
    cdef MDB_val key, value
    cdef int rc = mdb_cursor_open(writer.txn, writer.dbis[DB_EXPIRY], &cursor)
    if rc != MDB_SUCCESS:
        return rc
    rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST)
    if rc == MDB_SUCCESS:
        memcpy(expiry, key.mv_data, EXPIRY_KEY_SIZE)
    mdb_cursor_close(cursor)
    return rc


def sweep(Store store not None, int64_t before_ms, size_t limit):
    """Delete up to `limit` access tokens that expire before `before_ms` (Unix milliseconds), the soonest first.

    Returns how many were deleted, in one synced transaction. Raises CacheError where that failed.
    """
    cdef size_t swept = 0, epoch = 0
    cdef int attempt, rc = 0
    store._stay_open()
    for attempt in range(1 + RECOVERIES):
        if rc == MDB_PANIC:
            store._recover(epoch)
        epoch = store.epoch
        rc = _sweep_once(store, before_ms, limit, &swept)
        if rc != MDB_PANIC:
            break
    _check(rc, f"writing {store.path}")
    return swept


cdef int _sweep_once(Store store, int64_t before_ms, size_t limit, size_t *swept) except -100:
    cdef Writer writer
    cdef int rc
    with store.write_lock:
        rc = _begin_write(store, &writer)
        if rc == MDB_SUCCESS:
            with nogil:
                rc = _sweep(&writer, before_ms, limit, swept)
                if rc != MDB_SUCCESS or not writer.changed:
                    mdb_txn_abort(writer.txn)
                else:
                    rc = mdb_txn_commit(writer.txn)
    return rc


def usage(Store store not None):
    """Return (bytes of all records and indexes, number of records in each database) of the file."""
    cdef MDB_stat stat
    cdef size_t pages = 0
    cdef size_t[DB_COUNT] entries
    cdef int i, rc = MDB_SUCCESS
    store._begin_read()
    for i in range(DB_COUNT):
        if rc == MDB_SUCCESS:
            rc = mdb_stat(store.reader, store.dbis[i], &stat)
            pages += stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages
            entries[i] = stat.ms_entries
    store._end_read()
    _check(rc, f"reading {store.path}")
    return pages * store.page_size, [entries[i] for i in range(DB_COUNT)]
