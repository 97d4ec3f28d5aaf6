# --- opening sealed records ------------------------------------------------------------------------------------------

cdef enum:
    MAGIC_SIZE = 4  # magic, version, algorithm
    KEY_ID_AT = 4
    KEY_ID_SIZE = 8
    FLAGS_AT = 12
    KIND_AT = 14
    SIZE_AT = 52
    FILE_ID_SIZE = 16

cdef const char *_MAGIC = b"WT\x01\x01"


cdef class Unsealer:
    """Opens sealed records (docs/file-format.md) with the data keys in `use_ciphers`, and seals with the active one.

    `file_id` is the 16-byte id of the cache file, `invalid` the exception that a cipher raises for what does not verify.
    `refused` counts records that did not verify, `unreadable` lookups that found such a record, or one of another user.
    """
    cdef dict decrypt
    cdef tuple sealing  # the id of the active key, its cipher's encrypt
    cdef bytes file_id
    cdef object invalid
    cdef public size_t refused
    cdef readonly size_t unreadable

    def __init__(self, bytes file_id not None, invalid):
        if len(file_id) != FILE_ID_SIZE:
            raise ValueError(f"expected a file id of {FILE_ID_SIZE} bytes, got {len(file_id)}")
        self.file_id = file_id
        self.invalid = invalid
        self.decrypt = {}

    def use_ciphers(self, ciphers, bytes active not None):
        """Open records with these from now on: the id of a data key (8 bytes) -> its AES-GCM cipher; seal with `active`."""
        self.decrypt = {name: cipher.decrypt for name, cipher in ciphers.items()}
        self.sealing = active, ciphers[active].encrypt

    @property
    def active(self):
        """The id of the key that seals."""
        return self.sealing[0]

    def _seal(self, int kind, bytes key not None, bytes plain not None, int64_t expires_ms, int64_t refresh_ms,
              int64_t generation, uint16_t flags):
        cdef tuple sealing = self.sealing  # once: another thread may change the key meanwhile
        cdef bytes name = sealing[0], head = PyBytes_FromStringAndSize(NULL, HEADER_SIZE), nonce
        cdef unsigned char *at = <unsigned char *>PyBytes_AS_STRING(head)
        memset(at, 0, HEADER_SIZE)
        memcpy(at, _MAGIC, MAGIC_SIZE)
        memcpy(at + KEY_ID_AT, PyBytes_AS_STRING(name), KEY_ID_SIZE)
        at[FLAGS_AT] = <unsigned char>(flags & 0xff)
        at[FLAGS_AT + 1] = <unsigned char>(flags >> 8)
        at[KIND_AT] = <unsigned char>kind
        wt_put_le64(at + EXPIRES_AT, expires_ms)
        wt_put_le64(at + REFRESH_AT, refresh_ms)
        wt_put_le64(at + EXPIRES_AT + 16, generation)
        wt_put_le32(at + SIZE_AT, <uint32_t>(PyBytes_GET_SIZE(plain) + TAG_SIZE))
        if wt_random(at + NONCE_AT, NONCE_SIZE) != 0:
            raise OSError(errno, "expected random bytes for a nonce, got none")
        nonce = PyBytes_FromStringAndSize(<const char *>at + NONCE_AT, NONCE_SIZE)
        context = _context_of(at, self.file_id, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key))
        return head + sealing[1](nonce, plain, context)

    def knows_key_of(self, bytes value not None):
        """Tell whether the record names a data key that is here."""
        return len(value) >= HEADER_SIZE and value[KEY_ID_AT:KEY_ID_AT + KEY_ID_SIZE] in self.decrypt

    def find_missing_key(self):
        """Look for data keys that have come since, and tell whether it is worth trying again: never, here."""
        return False

    def unseal(self, int kind, bytes key not None, bytes value not None):
        """Return the plaintext, or None (counted in `refused`) where the record does not verify."""
        cdef Py_ssize_t size = PyBytes_GET_SIZE(value)
        cdef const unsigned char *head = <const unsigned char *>PyBytes_AS_STRING(value)
        if size < HEADER_SIZE:
            self.refused += 1
            return None
        return self._unseal(kind, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key), head,
                            PyBytes_FromStringAndSize(<const char *>head + HEADER_SIZE, size - HEADER_SIZE))

    cdef bytes _unseal(self, int kind, const char *key, Py_ssize_t key_size, const unsigned char *head, bytes body):
        cdef bytes plain = None
        if (
            memcmp(head, _MAGIC, MAGIC_SIZE) == 0 and head[KIND_AT] == kind
            and wt_le32(head + SIZE_AT) == PyBytes_GET_SIZE(body)
        ):
            plain = self._open(head, body, _context_of(head, self.file_id, key, key_size))
        if plain is None:
            self.refused += 1
        return plain

    cdef bytes _open(self, const unsigned char *head, bytes body, bytes context):
        cdef bytes name = PyBytes_FromStringAndSize(<const char *>head + KEY_ID_AT, KEY_ID_SIZE)
        cdef object decrypt = self.decrypt.get(name)
        if decrypt is None and self.find_missing_key():
            decrypt = self.decrypt.get(name)
        if decrypt is None:
            return None
        try:
            return decrypt(PyBytes_FromStringAndSize(<const char *>head + NONCE_AT, NONCE_SIZE), body, context)
        except self.invalid:
            return None


cdef bytes _context_of(const unsigned char *head, bytes file_id, const char *key, Py_ssize_t key_size):
    # What the tag covers besides the ciphertext: the header without its nonce, the file, the lookup key.
    cdef Py_ssize_t rest = HEADER_SIZE - SIZE_AT
    cdef bytes context = PyBytes_FromStringAndSize(NULL, NONCE_AT + rest + FILE_ID_SIZE + key_size)
    cdef char *at = PyBytes_AS_STRING(context)
    memcpy(at, head, NONCE_AT)
    memcpy(at + NONCE_AT, head + SIZE_AT, rest)
    memcpy(at + NONCE_AT + rest, PyBytes_AS_STRING(file_id), FILE_ID_SIZE)
    memcpy(at + NONCE_AT + rest + FILE_ID_SIZE, key, key_size)
    return context
