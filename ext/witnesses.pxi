# --- what proves that a result is still true -------------------------------------------------------------------------

cdef enum:
    WITNESSES = 2

cdef struct Witness:
    int db
    bint present
    unsigned char[KEY_SIZE] key
    unsigned char[NONCE_SIZE + TAG_SIZE] seal


cdef class Witnesses:
    """The sealed records that a result was made from: at most two triples (db, 32-byte key, sealed value or None)."""
    cdef Witness[WITNESSES] items

    def __cinit__(self, triples=()):
        cdef int i
        for i in range(WITNESSES):
            self.items[i].db = -1
        if len(triples) > WITNESSES:
            raise ValueError(f"expected at most {WITNESSES} witnesses, got {len(triples)}")
        for i, (db, key, value) in enumerate(triples):
            self._take(i, db, key, value)

    def also(self, int db, bytes key not None, bytes value not None):
        """Add another record to the one that is there: db, 32-byte key, sealed value."""
        self._take(WITNESSES - 1, db, key, value)

    cdef int _take(self, int i, int db, bytes key, bytes value) except -1:
        if len(key) != KEY_SIZE:
            raise ValueError(f"expected witnesses with keys of {KEY_SIZE} bytes, got {len(key)}")
        if value is not None and len(value) < HEADER_SIZE + TAG_SIZE:
            raise ValueError(f"expected a sealed record of {HEADER_SIZE + TAG_SIZE} bytes at least, got {len(value)}")
        _check_db(db)
        self._note(i, db, <unsigned char *>PyBytes_AS_STRING(key), NULL, 0)
        if value is not None:
            self._note(i, db, <unsigned char *>PyBytes_AS_STRING(key), <unsigned char *>PyBytes_AS_STRING(value), len(value))
        return 0

    cdef void _note(self, int i, int db, const unsigned char *key, const unsigned char *value, size_t size) noexcept:
        self.items[i].db = db
        self.items[i].present = value != NULL
        memcpy(self.items[i].key, key, KEY_SIZE)
        if value != NULL:
            _seal_of(self.items[i].seal, value, size)


cdef inline void _seal_of(unsigned char *seal, const unsigned char *value, size_t size) noexcept nogil:
    # Nonce and authentication tag: two writes of one record never have the same.
    memcpy(seal, value + NONCE_AT, NONCE_SIZE)
    memcpy(seal + NONCE_SIZE, value + size - TAG_SIZE, TAG_SIZE)


cdef bint _as_witnessed(Store store, Witness *witness) noexcept:
    cdef MDB_val key = _val(witness.key, KEY_SIZE)
    cdef MDB_val value
    cdef unsigned char[NONCE_SIZE + TAG_SIZE] seal
    cdef int rc = mdb_get(store.reader, store.dbis[witness.db], &key, &value)
    if rc != MDB_SUCCESS:
        return rc == MDB_NOTFOUND and not witness.present
    if not witness.present or value.mv_size < HEADER_SIZE + TAG_SIZE:
        return False
    _seal_of(seal, <unsigned char *>value.mv_data, value.mv_size)
    return memcmp(seal, witness.seal, sizeof(seal)) == 0
