# --- access tokens and their indexes -----------------------------------------------------------------------------------

cdef int _put_token(Writer *writer, Op *op) noexcept nogil:
    cdef unsigned char[INDEX_KEY_SIZE] index
    cdef unsigned char[EXPIRY_KEY_SIZE] expiry
    cdef MDB_val key
    cdef MDB_val size
    cdef uint16_t scopes = <uint16_t>(op.scopes.mv_size // SCOPE_SIZE - 1)
    cdef size_t i
    cdef int rc = _delete_covered(writer, op)
    if rc == MDB_SUCCESS:
        rc = _delete_token(writer, <unsigned char *>op.key.mv_data)
    if rc == MDB_SUCCESS:
        rc = _put(writer, DB_ACCESS, &op.key, &op.value)
    for i in range(op.scopes.mv_size // SCOPE_SIZE):
        if rc != MDB_SUCCESS:
            return rc
        _index_key(index, <unsigned char *>op.key.mv_data, _scope(&op.scopes, i))
        key = _val(index, INDEX_KEY_SIZE)
        size = _val(&scopes, sizeof(scopes))
        rc = _put(writer, DB_SCOPE, &key, &size)
    if rc != MDB_SUCCESS:
        return rc
    _expiry_key(expiry, _expires_ms(&op.value), <unsigned char *>op.key.mv_data)
    key = _val(expiry, EXPIRY_KEY_SIZE)
    return _put(writer, DB_EXPIRY, &key, &op.scopes)


cdef inline const unsigned char *_scope(MDB_val *scopes, size_t i) noexcept nogil:
    return <const unsigned char *>scopes.mv_data + i * SCOPE_SIZE


cdef inline void _index_key(unsigned char *index, const unsigned char *key, const unsigned char *scope) noexcept nogil:
    memcpy(index, key, PARTITION_SIZE)
    memcpy(index + PARTITION_SIZE, scope, SCOPE_SIZE)
    memcpy(index + PARTITION_SIZE + SCOPE_SIZE, key + PARTITION_SIZE, TOKEN_SIZE)


cdef inline void _expiry_key(unsigned char *expiry, int64_t expires_ms, const unsigned char *key) noexcept nogil:
    wt_put_be64(expiry, <uint64_t>expires_ms)
    memcpy(expiry + 8, key, KEY_SIZE)


cdef int _delete_token(Writer *writer, const unsigned char *token) noexcept nogil:
    cdef unsigned char[EXPIRY_KEY_SIZE] expiry
    cdef MDB_val key = _val(token, KEY_SIZE), value, scopes
    cdef int rc = mdb_get(writer.txn, writer.dbis[DB_ACCESS], &key, &value)
    if rc != MDB_SUCCESS:
        return MDB_SUCCESS if rc == MDB_NOTFOUND else rc
    _expiry_key(expiry, _expires_ms(&value), token)
    key = _val(expiry, EXPIRY_KEY_SIZE)
    rc = mdb_get(writer.txn, writer.dbis[DB_EXPIRY], &key, &scopes)
    if rc == MDB_SUCCESS:
        rc = _delete_index(writer, token, &scopes)
        if rc == MDB_SUCCESS:
            rc = _delete(writer, DB_EXPIRY, &key)
    if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
        return rc
    key = _val(token, KEY_SIZE)
    return _delete(writer, DB_ACCESS, &key)


cdef int _delete_index(Writer *writer, const unsigned char *token, MDB_val *scopes) noexcept nogil:
    # Deleting can move the page that `scopes` points into: work on a copy.
    cdef size_t size = scopes.mv_size, i
    cdef unsigned char[INDEX_KEY_SIZE] index
    cdef MDB_val key
    cdef int rc = MDB_SUCCESS
    cdef unsigned char *copy = <unsigned char *>malloc(size + 1)
    if copy == NULL:
        return ENOSPC
    memcpy(copy, scopes.mv_data, size)
    for i in range(size // SCOPE_SIZE):
        _index_key(index, token, copy + i * SCOPE_SIZE)
        key = _val(index, INDEX_KEY_SIZE)
        rc = _delete(writer, DB_SCOPE, &key)
        if rc != MDB_SUCCESS:
            break
    free(copy)
    return rc


cdef int _delete_tokens(Writer *writer, MDB_val *partition) noexcept nogil:
    cdef MDB_cursor *cursor = NULL
    cdef unsigned char[EXPIRY_KEY_SIZE] expiry
    cdef MDB_val key = partition[0], value, expiring
    cdef int rc = mdb_cursor_open(writer.txn, writer.dbis[DB_ACCESS], &cursor)
    if rc != MDB_SUCCESS:
        return rc
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
    while rc == MDB_SUCCESS and _starts_with(&key, partition.mv_data, partition.mv_size):
        _expiry_key(expiry, _expires_ms(&value), <unsigned char *>key.mv_data)
        expiring = _val(expiry, EXPIRY_KEY_SIZE)
        rc = _delete(writer, DB_EXPIRY, &expiring)
        if rc == MDB_SUCCESS:
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    mdb_cursor_close(cursor)
    if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
        return rc
    rc = _delete_prefix(writer, DB_SCOPE, partition)
    return rc if rc != MDB_SUCCESS else _delete_prefix(writer, DB_ACCESS, partition)


cdef int _delete_covered(Writer *writer, Op *op) noexcept nogil:
    # Count for each token of the slot how many of its scopes the new token has too; all of them: it is superseded.
    cdef Tally *tallies = NULL
    cdef Py_ssize_t count = 0, i
    cdef unsigned char[KEY_SIZE] token
    cdef size_t number
    cdef int rc = MDB_SUCCESS
    for number in range(1, op.scopes.mv_size // SCOPE_SIZE):
        rc = _tally(writer, op, number, &tallies, &count)
        if rc != MDB_SUCCESS:
            break
    memcpy(token, op.key.mv_data, PARTITION_SIZE)
    for i in range(count):
        if rc == MDB_SUCCESS and tallies[i].seen == tallies[i].size:
            memcpy(token + PARTITION_SIZE, tallies[i].token, TOKEN_SIZE)
            rc = _delete_token(writer, token)
    free(tallies)
    return rc


cdef int _tally(Writer *writer, Op *op, size_t number, Tally **tallies, Py_ssize_t *count) noexcept nogil:
    cdef unsigned char[PARTITION_SIZE + SCOPE_SIZE] prefix
    cdef MDB_cursor *cursor = NULL
    cdef MDB_val key, value
    cdef int rc = mdb_cursor_open(writer.txn, writer.dbis[DB_SCOPE], &cursor)
    if rc != MDB_SUCCESS:
        return rc
    memcpy(prefix, op.key.mv_data, PARTITION_SIZE)
    memcpy(prefix + PARTITION_SIZE, _scope(&op.scopes, number), SCOPE_SIZE)
    key = _val(prefix, sizeof(prefix))
    rc = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE)
    while rc == MDB_SUCCESS and _starts_with(&key, prefix, sizeof(prefix)):
        rc = _count(<unsigned char *>key.mv_data + sizeof(prefix), &value, tallies, count)
        if rc == MDB_SUCCESS:
            rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)
    mdb_cursor_close(cursor)
    return MDB_SUCCESS if rc == MDB_NOTFOUND else rc


cdef int _count(const unsigned char *token, MDB_val *size, Tally **tallies, Py_ssize_t *count) noexcept nogil:
    cdef Py_ssize_t i
    cdef Tally *grown
    for i in range(count[0]):
        if memcmp(tallies[0][i].token, token, TOKEN_SIZE) == 0:
            tallies[0][i].seen += 1
            return MDB_SUCCESS
    if count[0] & (count[0] - 1) == 0:  # at each power of two: room for twice as many
        grown = <Tally *>realloc(tallies[0], (2 * count[0] + 1) * sizeof(Tally))
        if grown == NULL:
            return ENOSPC
        tallies[0] = grown
    grown = &tallies[0][count[0]]
    memcpy(grown.token, token, TOKEN_SIZE)
    memcpy(&grown.size, size.mv_data, sizeof(uint16_t))
    grown.seen = 1
    count[0] += 1
    return MDB_SUCCESS
