# --- layout of the file ----------------------------------------------------------------------------------------------

# Named databases, by number. An access token's key is partition (16) + token (16); the scope index has
# partition (16) + scope (8) + token (16); expiry has big-endian Unix milliseconds (8) + access token key (32).
cdef enum:
    DB_META, DB_ACCESS, DB_SCOPE, DB_EXPIRY, DB_REFRESH, DB_IDENTITY, DB_ACCOUNT, DB_APP, DB_NOTE, DB_COUNT

cdef enum:
    PARTITION_SIZE = 16
    TOKEN_SIZE = 16
    SCOPE_SIZE = 8
    KEY_SIZE = 32
    INDEX_KEY_SIZE = 40
    EXPIRY_KEY_SIZE = 40

# The header of a sealed record (docs/file-format.md).
cdef enum:
    HEADER_SIZE = 64
    EXPIRES_AT = 16
    REFRESH_AT = 24
    NONCE_AT = 40
    NONCE_SIZE = 12
    TAG_SIZE = 16

META, ACCESS, SCOPE, EXPIRY, REFRESH, IDENTITY, ACCOUNT, APP, NOTE = range(DB_COUNT)
cdef const char *_NAMES[DB_COUNT]
_NAMES[:] = [b"meta", b"access", b"scope", b"expiry", b"refresh", b"identity", b"account", b"app", b"note"]


cdef inline int64_t _expires_ms(MDB_val *value) noexcept nogil:
    return wt_le64(<unsigned char *>value.mv_data + EXPIRES_AT) if value.mv_size >= HEADER_SIZE else 0


cdef inline MDB_val _val(const void *data, size_t size) noexcept nogil:
    cdef MDB_val val
    val.mv_data = <void *>data
    val.mv_size = size
    return val


cdef inline MDB_val _bytes_val(bytes data) noexcept:
    return _val(PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))


cdef inline bint _starts_with(MDB_val *key, const void *prefix, size_t size) noexcept nogil:
    return key.mv_size >= size and memcmp(key.mv_data, prefix, size) == 0
