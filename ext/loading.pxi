# --- access tokens as requests find them -------------------------------------------------------------------------------

cdef enum:
    MAX_FIELDS = 32
    KNOWN_TARGETS = 1024
    ACCESS_TOKEN_RECORD = 2
    ID_TOKEN_RECORD = 4
    RESULT_OVERHEAD = 1024  # bytes, roughly, of a finished result beside its tokens

# The fields of the two records, by place (docs/file-format.md).
cdef enum:
    HOME_ACCOUNT_ID, ENVIRONMENT, CLIENT, REALM, TARGET, SECRET, CACHED, EXPIRES, REFRESHES, TOKEN_TYPE, KEY_ID
    EXTENDED_KEY, LOCAL_ACCOUNT_ID, ACCESS_TOKEN_FIELDS
    ID_TOKEN_SECRET = 4

cdef struct Fields:
    Py_ssize_t count
    const unsigned char *at[MAX_FIELDS]
    Py_ssize_t size[MAX_FIELDS]

cdef dict _targets = {}  # the granted scopes as stored -> (the scopes, the scopes folded): few differ


cdef class Wanted:
    """What a request looks for in a partition: the hashes of its scopes, and what the token found must say of itself.

    `token_part` (16 bytes) names the token with exactly the scopes, `scopes` holds the 8-byte hash of each of them, or
    of the slot alone, `identity_part` (16 bytes) names the id token, None where there is none. The texts are in lower
    case, but for `key_id` and `extended_key`; `folded` are the scopes.
    """
    cdef bytes token_part, scopes, identity_part, client_id, realm, token_type, key_id, extended_key
    cdef frozenset folded

    def __init__(self, bytes token_part not None, bytes scopes not None, bytes identity_part, str client_id not None,
                 str realm not None, str token_type not None, str key_id not None, str extended_key not None, folded):
        if len(token_part) != TOKEN_SIZE or not scopes or len(scopes) % SCOPE_SIZE:
            raise ValueError(f"expected a token part of {TOKEN_SIZE} bytes and scopes of {SCOPE_SIZE} bytes each")
        if identity_part is not None and len(identity_part) != TOKEN_SIZE:
            raise ValueError(f"expected an identity part of {TOKEN_SIZE} bytes")
        self.token_part = token_part
        self.scopes = scopes
        self.identity_part = identity_part
        self.client_id = client_id.encode()
        self.realm = realm.encode()
        self.token_type = token_type.encode()
        self.key_id = key_id.encode()
        self.extended_key = extended_key.encode()
        self.folded = frozenset(folded)

    cdef bint _are_met_by(self, Fields *fields, bytes home_account_id, frozenset granted) except -1:
        # The hashes said so already; a token must not go to the wrong user even if they were made to collide.
        return (
            (home_account_id is None or _is_in_lower_case(fields, HOME_ACCOUNT_ID, home_account_id))
            and _is_in_lower_case(fields, CLIENT, self.client_id)
            and _is_in_lower_case(fields, REALM, self.realm)
            and _is_in_lower_case(fields, TOKEN_TYPE, self.token_type)
            and _is(fields, KEY_ID, self.key_id)
            and _is(fields, EXTENDED_KEY, self.extended_key)
            and self.folded <= granted
        )


cdef class CachedToken:
    """An access token as found, with its id token (None if there is none) and what proves that both are in the file.

    Times are Unix seconds, but for `refresh_ms` (Unix milliseconds, 0 for never): `refresh_on` is the provider's, `refresh_ms`
    when this token is to be refreshed. `scopes` are the granted ones; `txnid` is of the snapshot that it was read from.
    `home_account_id` is None where the request said it.
    """
    cdef readonly str secret, target, token_type, realm, local_account_id, id_token, home_account_id
    cdef readonly tuple scopes
    cdef readonly int64_t cached_at, expires_on, refresh_on, refresh_ms
    cdef readonly uint64_t txnid
    cdef readonly Witnesses witnesses

    @property
    def weight(self):
        """The bytes, roughly, that a result with these tokens takes in memory."""
        return self._weight()

    cdef size_t _weight(self):
        return len(self.secret) + (len(self.id_token) if self.id_token is not None else 0) + RESULT_OVERHEAD


def load_token(Store store not None, Unsealer sealer not None, Wanted wanted not None, bytes partition not None,
               str home_account_id, int64_t usable_after_ms):
    """Return the CachedToken that serves a request, or None.

    `partition` (16 bytes) says whose tokens, `home_account_id` (in lower case) what they must say, None where that is
    to be found out. Of all that cover the request the one that expires last is chosen, unless the exact one is usable
    after `usable_after_ms` (Unix milliseconds). What does not verify is not there.
    """
    cdef unsigned char[KEY_SIZE] key, identity_key
    cdef unsigned char[HEADER_SIZE] head, identity_head
    cdef bytes body = None, identity = None
    cdef bytes user = None if home_account_id is None else home_account_id.encode()
    cdef Found best
    cdef CachedToken token
    cdef int rc
    if len(partition) != PARTITION_SIZE:
        raise ValueError(f"expected a partition of {PARTITION_SIZE} bytes, got {len(partition)}")
    _join(key, partition, wanted.token_part)
    token = CachedToken.__new__(CachedToken)
    token.witnesses = Witnesses.__new__(Witnesses)
    store._begin_read()
    try:
        rc = _find(store, <char *>key, wanted.scopes, usable_after_ms, &best)
        token.txnid = store._snapshot_id()
        store._note(token.txnid)
        if rc == MDB_SUCCESS:
            body = _take_record(&best.value, head, token.witnesses, 0, DB_ACCESS, best.key)
            if wanted.identity_part is not None:
                _join(identity_key, partition, wanted.identity_part)
                identity = _take_identity(store, identity_head, token.witnesses, identity_key)
    finally:
        store._end_read()
    if rc != MDB_SUCCESS and rc != MDB_NOTFOUND:
        _check(rc, f"reading {store.path}")
    if body is None:
        return None
    body = sealer._unseal(ACCESS_TOKEN_RECORD, <char *>best.key, KEY_SIZE, head, body)
    if body is None or not _decode_token(token, body, wanted, user):
        sealer.unreadable += 1
        return None
    token.refresh_ms = wt_le64(head + REFRESH_AT)
    if identity is not None:
        identity = sealer._unseal(ID_TOKEN_RECORD, <char *>identity_key, KEY_SIZE, identity_head, identity)
        token.id_token = None if identity is None else _decode_id_token(identity)
    return token


def nothing_for(Store store not None, Wanted wanted not None, bytes partition not None, bytes refresh_key not None):
    """Return the id of a snapshot in which no token, usable or not, serves a request, nor is the refresh token there.

    0 where there is one of them.
    """
    cdef unsigned char[KEY_SIZE] key
    cdef MDB_val refresh = _bytes_val(refresh_key), value
    cdef Found best
    cdef uint64_t txnid
    cdef int rc
    if len(partition) != PARTITION_SIZE:
        raise ValueError(f"expected a partition of {PARTITION_SIZE} bytes, got {len(partition)}")
    _join(key, partition, wanted.token_part)
    store._begin_read()
    rc = _find(store, <char *>key, wanted.scopes, 0, &best)
    if rc == MDB_NOTFOUND:
        rc = mdb_get(store.reader, store.dbis[DB_REFRESH], &refresh, &value)
    txnid = store._snapshot_id()
    store._note(txnid)
    store._end_read()
    return txnid if rc == MDB_NOTFOUND else 0


cdef inline void _join(unsigned char *key, bytes partition, bytes part) noexcept:
    memcpy(key, PyBytes_AS_STRING(partition), PARTITION_SIZE)
    memcpy(key + PARTITION_SIZE, PyBytes_AS_STRING(part), TOKEN_SIZE)


cdef bytes _take_record(MDB_val *value, unsigned char *head, Witnesses witnesses, int i, int db,
                        const unsigned char *key):
    # Within a snapshot: what follows the header, as a copy. A value that is no record is as good as none.
    cdef const unsigned char *data = <const unsigned char *>value.mv_data
    if value.mv_size < HEADER_SIZE + TAG_SIZE:
        return None
    memcpy(head, data, HEADER_SIZE)
    witnesses._note(i, db, key, data, value.mv_size)
    return PyBytes_FromStringAndSize(<const char *>data + HEADER_SIZE, value.mv_size - HEADER_SIZE)


cdef bytes _take_identity(Store store, unsigned char *head, Witnesses witnesses, const unsigned char *key):
    cdef MDB_val wanted = _val(key, KEY_SIZE), value
    if mdb_get(store.reader, store.dbis[DB_IDENTITY], &wanted, &value) != MDB_SUCCESS:
        witnesses._note(1, DB_IDENTITY, key, NULL, 0)
        return None
    return _take_record(&value, head, witnesses, 1, DB_IDENTITY, key)


cdef bint _decode_token(CachedToken token, bytes plain, Wanted wanted, bytes home_account_id) except -1:
    cdef Fields fields
    _split(plain, &fields)
    if fields.count < ACCESS_TOKEN_FIELDS:
        raise ValueError(f"expected an access token of {ACCESS_TOKEN_FIELDS} fields at least, got {fields.count}")
    token.target = _text(&fields, TARGET)
    token.scopes, granted = _scopes_of(token.target)
    if not wanted._are_met_by(&fields, home_account_id, granted):
        return False
    if home_account_id is None:
        token.home_account_id = _text(&fields, HOME_ACCOUNT_ID)
    token.secret = _text(&fields, SECRET)
    token.cached_at = _number(&fields, CACHED)
    token.expires_on = _number(&fields, EXPIRES)
    token.refresh_on = _number(&fields, REFRESHES)
    token.token_type = "Bearer" if _is(&fields, TOKEN_TYPE, b"Bearer") else _text(&fields, TOKEN_TYPE)
    token.realm = _text(&fields, REALM)
    token.local_account_id = _text(&fields, LOCAL_ACCOUNT_ID)
    return True


cdef str _decode_id_token(bytes plain):
    cdef Fields fields
    _split(plain, &fields)
    if fields.count <= ID_TOKEN_SECRET:
        raise ValueError(f"expected an id token of {ID_TOKEN_SECRET + 1} fields at least, got {fields.count}")
    return _text(&fields, ID_TOKEN_SECRET)


cdef tuple _scopes_of(str target):
    found = _targets.get(target)
    if found is None:
        if len(_targets) >= KNOWN_TARGETS:
            _targets.clear()
        scopes = tuple(target.split())
        found = _targets[target] = scopes, frozenset(scope.casefold() for scope in scopes)
    return found


cdef int _split(bytes plain, Fields *fields) except -1:
    # A count, as many 32-bit lengths, as many texts; the fields borrow from `plain`.
    cdef const unsigned char *data = <const unsigned char *>PyBytes_AS_STRING(plain)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(plain), at, i
    fields.count = data[0] if size else 0
    at = 1 + 4 * fields.count
    if at > size or fields.count > MAX_FIELDS:
        raise ValueError(f"expected the lengths of all fields, {MAX_FIELDS} at most")
    for i in range(fields.count):
        fields.size[i] = wt_le32(data + 1 + 4 * i)
        if fields.size[i] > size - at:
            raise ValueError("expected a field to end within the record")
        fields.at[i] = data + at
        at += fields.size[i]
    return 0


cdef inline str _text(Fields *fields, int i):
    return PyUnicode_DecodeUTF8(<const char *>fields.at[i], fields.size[i], NULL)


cdef inline bint _is(Fields *fields, int i, bytes expected) noexcept:
    return fields.size[i] == PyBytes_GET_SIZE(expected) and (
        memcmp(fields.at[i], PyBytes_AS_STRING(expected), fields.size[i]) == 0
    )


cdef inline bint _is_in_lower_case(Fields *fields, int i, bytes expected) except -1:
    return _is(fields, i, expected) or _text(fields, i).lower().encode() == expected


cdef int64_t _number(Fields *fields, int i) except? -1:
    cdef int64_t value = 0
    cdef Py_ssize_t at
    for at in range(fields.size[i]):
        if not c'0' <= fields.at[i][at] <= c'9' or at >= 18:
            return int(_text(fields, i))
        value = 10 * value + fields.at[i][at] - c'0'
    return value


def split_fields(bytes plain not None):
    """Return the fields of a record's plaintext as a list of str: a count, as many 32-bit lengths, as many texts.

    Raises ValueError where a length leads out of the plaintext or a text is not UTF-8.
    """
    cdef Fields fields
    cdef Py_ssize_t i
    _split(plain, &fields)
    return [_text(&fields, i) for i in range(fields.count)]


def join_fields(record, Py_ssize_t step):
    """Return the plaintext of a record of str and int, as `split_fields` takes it, with zeros up to a multiple of `step`.

    Raises ValueError for more fields than a record can have, or 4 GiB and more of text.
    """
    cdef Py_ssize_t count = len(record), size = 1 + 4 * count, i
    cdef list texts = [field.encode() if type(field) is str else b"%d" % field for field in record]
    cdef bytes text, plain
    cdef unsigned char *lengths
    cdef char *at
    if count > MAX_FIELDS:
        raise ValueError(f"expected {MAX_FIELDS} fields at most, got {count}")
    for text in texts:
        size += PyBytes_GET_SIZE(text)
    if size > 0xFFFFFFFF:
        raise ValueError("expected a record of less than 4 GiB")
    plain = PyBytes_FromStringAndSize(NULL, (size + step - 1) // step * step)
    lengths = <unsigned char *>PyBytes_AS_STRING(plain)
    lengths[0] = <unsigned char>count
    at = <char *>lengths + 1 + 4 * count
    for i in range(count):
        text = texts[i]
        wt_put_le32(lengths + 1 + 4 * i, <uint32_t>PyBytes_GET_SIZE(text))
        memcpy(at, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text))
        at += PyBytes_GET_SIZE(text)
    memset(at, 0, PyBytes_AS_STRING(plain) + PyBytes_GET_SIZE(plain) - at)
    return plain
