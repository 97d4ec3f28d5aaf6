# --- writing ---------------------------------------------------------------------------------------------------------
# A batch is a list of operations that happen together or not at all: (PUT, db, key, value), (PUT_NEW, …) which keeps
# a record that is there, (DELETE, db, key), (DELETE_PREFIX, db, prefix), (EXPECT, db, key, head) which drops the batch
# unless the record begins with `head` (b"": unless there is none), (PUT_TOKEN, ACCESS, key, value, scopes) where
# `scopes` is the hash of the slot and then of each scope, (DELETE_TOKEN, ACCESS, key), (DELETE_TOKENS, ACCESS,
# partition). PUT_TOKEN replaces every token of the slot whose scopes the new one covers.

cdef enum:
    OP_PUT, OP_PUT_NEW, OP_DELETE, OP_DELETE_PREFIX, OP_EXPECT, OP_PUT_TOKEN, OP_DELETE_TOKEN, OP_DELETE_TOKENS, OP_COUNT

PUT, PUT_NEW, DELETE, DELETE_PREFIX, EXPECT, PUT_TOKEN, DELETE_TOKEN, DELETE_TOKENS = range(OP_COUNT)

cdef struct Op:
    int kind
    int batch
    int db
    MDB_val key
    MDB_val value
    MDB_val scopes

cdef enum:
    SWEPT_PER_WRITE = 4

cdef struct Writer:
    MDB_txn *txn
    const MDB_dbi *dbis
    bint changed

cdef struct Tally:
    unsigned char[TOKEN_SIZE] token
    uint16_t seen
    uint16_t size


def commit(Store store not None, list batches not None, int64_t expired_before_ms=0):
    """Apply batches in one synced transaction and return (transaction id, [applied?, …]).

    A few access tokens that expired before `expired_before_ms` (Unix milliseconds) are deleted along the way. The id
    is 0 where nothing was written. Raises CacheError where the commit failed; then nothing was written.
    """
    cdef Op *ops
    cdef unsigned char *refused
    cdef Py_ssize_t count = sum(map(len, batches))
    cdef uint64_t txnid = 0
    cdef size_t epoch = 0
    cdef int attempt, rc = 0
    store._stay_open()
    ops = <Op *>calloc(count + 1, sizeof(Op))
    refused = <unsigned char *>calloc(len(batches) + 1, 1)
    if ops == NULL or refused == NULL:
        free(ops)
        free(refused)
        raise MemoryError
    try:
        _fill(ops, batches)
        if _puts_something(ops, count):
            _check_space(store)
        for attempt in range(1 + RECOVERIES):
            if rc == MDB_PANIC:
                store._recover(epoch)
            epoch = store.epoch
            rc = _commit_with_room(store, ops, count, refused, len(batches), expired_before_ms, &txnid)
            if rc != MDB_PANIC:
                break
        if rc == EIO and _disk_is_full(store):  # what LMDB makes of a write that was cut short
            rc = ENOSPC
        _check(rc, f"writing {store.path}")
        if not store.proven and txnid:
            store._prove(txnid)
        return txnid, [not refused[i] for i in range(len(batches))]
    finally:
        free(ops)
        free(refused)


cdef int _commit_with_room(
    Store store, Op *ops, Py_ssize_t count, unsigned char *refused, Py_ssize_t batches, int64_t expired_before_ms,
    uint64_t *txnid
) except -100:
    cdef int rc
    with store.write_lock:
        memset(refused, 0, batches)
        rc = _commit(store, ops, count, refused, expired_before_ms, txnid)
        while rc == MDB_MAP_FULL and _grow(store):
            memset(refused, 0, batches)
            rc = _commit(store, ops, count, refused, expired_before_ms, txnid)
    return rc


cdef bint _puts_something(Op *ops, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(count):
        if ops[i].kind in (OP_PUT, OP_PUT_NEW, OP_PUT_TOKEN):
            return True
    return False


cdef int _fill(Op *ops, list batches) except -1:
    # The operations borrow from the bytes in `batches`, which the caller keeps alive.
    cdef Py_ssize_t at = 0
    cdef int number
    for number, batch in enumerate(batches):
        for op in batch:
            if not isinstance(op, tuple) or not 3 <= len(op) <= 5 or not all(isinstance(part, bytes) for part in op[2:]):
                raise TypeError("expected an operation as a tuple: kind, database, key and what belongs to the kind")
            _fill_one(&ops[at], number, op)
            at += 1
    return 0


cdef int _fill_one(Op *op, int batch, tuple fields) except -1:
    op.batch = batch
    op.kind = fields[0]
    op.db = fields[1]
    _check_db(op.db)
    if not 0 <= op.kind < OP_COUNT:
        raise ValueError(f"expected a kind of operation from 0 to {OP_COUNT - 1}, got {op.kind}")
    op.key = _bytes_val(fields[2])
    if len(fields) > 3:
        op.value = _bytes_val(fields[3])
    if len(fields) > 4:
        op.scopes = _bytes_val(fields[4])
    if op.kind == OP_PUT_TOKEN and (
        op.key.mv_size != KEY_SIZE or op.value.mv_size < HEADER_SIZE or not op.scopes.mv_size
        or op.scopes.mv_size % SCOPE_SIZE
    ):
        raise ValueError("expected an access token's key, sealed record and scope hashes")
    if op.kind == OP_DELETE_TOKEN and op.key.mv_size != KEY_SIZE:
        raise ValueError(f"expected an access token's key of {KEY_SIZE} bytes, got {op.key.mv_size}")
    return 0


cdef int _begin_write(Store store, Writer *writer) except -100:
    # With the store's lock held. It may have to wait for another process, and does so without the GIL.
    cdef int rc
    writer.dbis = store.dbis
    writer.changed = False
    if store.env == NULL:
        return MDB_PANIC  # closed while we waited for the lock: to be opened anew
    with nogil:
        rc = mdb_txn_begin(store.env, NULL, 0, &writer.txn)
    if rc == MDB_MAP_RESIZED:
        rc = store._map_anew(0)  # under the GIL and the lock: no transaction of ours is open
        if rc == MDB_SUCCESS:
            with nogil:
                rc = mdb_txn_begin(store.env, NULL, 0, &writer.txn)
        elif rc == ENOMEM:
            rc = MDB_PANIC
    return rc


cdef int _commit(
    Store store, Op *ops, Py_ssize_t count, unsigned char *refused, int64_t expired_before_ms, uint64_t *txnid
) except -100:
    cdef Writer writer
    cdef size_t swept = 0
    cdef int rc = _begin_write(store, &writer)
    if rc != MDB_SUCCESS:
        return rc
    with nogil:
        rc = _apply(&writer, ops, count, refused)
        if rc == MDB_SUCCESS and writer.changed:
            rc = _sweep(&writer, expired_before_ms, SWEPT_PER_WRITE, &swept)
        if rc != MDB_SUCCESS or not writer.changed:
            mdb_txn_abort(writer.txn)
        else:
            # The id of a write transaction that changed nothing would be given out again: only now is it ours.
            txnid[0] = mdb_txn_id(writer.txn)
            rc = mdb_txn_commit(writer.txn)
            if rc == MDB_SUCCESS:
                _keep_reserve(store)
    return rc


cdef int _apply(Writer *writer, Op *ops, Py_ssize_t count, unsigned char *refused) noexcept nogil:
    cdef Py_ssize_t first = 0, last
    cdef int rc
    while first < count:
        last = first
        while last < count and ops[last].batch == ops[first].batch:
            last += 1
        rc = _apply_batch(writer, ops + first, last - first, refused + ops[first].batch)
        if rc != MDB_SUCCESS:
            return rc
        first = last
    return MDB_SUCCESS


cdef int _apply_batch(Writer *writer, Op *ops, Py_ssize_t count, unsigned char *refused) noexcept nogil:
    cdef Py_ssize_t i
    cdef int rc
    for i in range(count):
        if ops[i].kind == OP_EXPECT and not _as_expected(writer, &ops[i]):
            refused[0] = 1
            return MDB_SUCCESS
    for i in range(count):
        rc = _apply_one(writer, &ops[i])
        if rc != MDB_SUCCESS:
            return rc
    return MDB_SUCCESS


cdef bint _as_expected(Writer *writer, Op *op) noexcept nogil:
    cdef MDB_val found
    if mdb_get(writer.txn, writer.dbis[op.db], &op.key, &found) != MDB_SUCCESS:
        return op.value.mv_size == 0
    return op.value.mv_size > 0 and _starts_with(&found, op.value.mv_data, op.value.mv_size)


cdef int _apply_one(Writer *writer, Op *op) noexcept nogil:
    if op.kind == OP_PUT:
        return _put(writer, op.db, &op.key, &op.value)
    if op.kind == OP_PUT_NEW:
        return _put_new(writer, op.db, &op.key, &op.value)
    if op.kind == OP_DELETE:
        return _delete(writer, op.db, &op.key)
    if op.kind == OP_DELETE_PREFIX:
        return _delete_prefix(writer, op.db, &op.key)
    if op.kind == OP_PUT_TOKEN:
        return _put_token(writer, op)
    if op.kind == OP_DELETE_TOKEN:
        return _delete_token(writer, <unsigned char *>op.key.mv_data)
    if op.kind == OP_DELETE_TOKENS:
        return _delete_tokens(writer, &op.key)
    return MDB_SUCCESS


cdef int _put(Writer *writer, int db, MDB_val *key, MDB_val *value) noexcept nogil:
    writer.changed = True
    return mdb_put(writer.txn, writer.dbis[db], key, value, 0)


cdef int _put_new(Writer *writer, int db, MDB_val *key, MDB_val *value) noexcept nogil:
    cdef MDB_val copy = value[0]  # mdb_put points the value at the record that is there
    cdef int rc = mdb_put(writer.txn, writer.dbis[db], key, &copy, MDB_NOOVERWRITE)
    if rc == MDB_KEYEXIST:
        return MDB_SUCCESS
    writer.changed = True
    return rc


cdef int _delete(Writer *writer, int db, MDB_val *key) noexcept nogil:
    cdef int rc = mdb_del(writer.txn, writer.dbis[db], key, NULL)
    if rc == MDB_NOTFOUND:
        return MDB_SUCCESS
    writer.changed = True
    return rc


cdef int _delete_prefix(Writer *writer, int db, MDB_val *prefix) noexcept nogil:
    cdef MDB_cursor *cursor = NULL
    cdef MDB_val key = prefix[0], value
    cdef int rc = mdb_cursor_open(writer.txn, writer.dbis[db], &cursor)
    if rc != MDB_SUCCESS:
        return rc
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
    while rc == MDB_SUCCESS and _starts_with(&key, prefix.mv_data, prefix.mv_size):
        writer.changed = True
        rc = mdb_cursor_del(cursor, 0)
        if rc == MDB_SUCCESS:
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    mdb_cursor_close(cursor)
    return MDB_SUCCESS if rc == MDB_NOTFOUND else rc
