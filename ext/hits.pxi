# --- finished results in memory --------------------------------------------------------------------------------------
# A set-associative table of hits. Each is tagged with the id of the read transaction that produced it, and served
# only while that is still the newest id in the file, or once the records it was made from are seen to be the same.

cdef enum:
    WAYS = 4
    CHECK_PAUSE_NS = 1_000_000_000
    WITNESSES = 2

cdef struct Witness:
    int db
    bint present
    unsigned char[KEY_SIZE] key
    unsigned char[NONCE_SIZE + TAG_SIZE] seal

cdef struct Way:
    uint64_t signature
    PyObject *hit


cdef class Hit:
    """A finished result, the request it answers, and the sealed records it was made from."""
    cdef object result
    cdef tuple scopes
    cdef object account
    cdef object variant
    cdef uint64_t view
    cdef uint64_t txnid
    cdef int64_t wall_deadline
    cdef int64_t monotonic_deadline
    cdef size_t weight
    cdef Witness[WITNESSES] witnesses

    cdef bint asked_by(self, uint64_t view, PyObject **scopes, Py_ssize_t count, object account, object variant):
        cdef Py_ssize_t i
        if self.view != view or PyTuple_GET_SIZE(self.scopes) != count:
            return False
        if not (_same_account(self.account, account) and _same_text(self.variant, variant)):
            return False
        for i in range(count):
            if not _same_text(<object>PyTuple_GET_ITEM(self.scopes, i), <object>scopes[i]):
                return False
        return True

    cdef bint _is_for(self, Hit other):
        return self.asked_by(other.view, (<PyTupleObject *>other.scopes).ob_item, PyTuple_GET_SIZE(other.scopes),
                             other.account, other.variant)


cdef inline bint _same_text(object first, object second):
    if first is second:
        return True
    return PyUnicode_CheckExact(first) and PyUnicode_CheckExact(second) and PyUnicode_Compare(first, second) == 0


cdef inline bint _same_account(object first, object second):
    # Two issuers may use one id for two users.
    if first is second:
        return True
    return first is not None and second is not None and _same_text(
        first.home_account_id, second.home_account_id
    ) and _same_text(first.environment, second.environment)


cdef inline uint64_t _mix(uint64_t state, uint64_t word) noexcept nogil:
    state = (state ^ word) * <uint64_t>0x9E3779B97F4A7C15
    return state ^ (state >> 29)


cdef class Hits:
    """The results that this process keeps in memory, bounded in entries and bytes."""
    cdef Way *ways
    cdef uint64_t mask
    cdef readonly Store store
    cdef readonly Clock clock
    cdef readonly size_t entries
    cdef readonly size_t weight
    cdef readonly uint64_t served
    cdef readonly uint64_t confirmed
    cdef readonly uint64_t outdated
    cdef readonly uint64_t absent
    cdef readonly uint64_t overdue
    cdef size_t max_weight
    cdef int64_t check_at
    cdef size_t epoch
    cdef uint64_t hand
    cdef uint64_t views

    def __cinit__(self, Store store not None, Clock clock not None, size_t max_entries, size_t max_bytes):
        cdef size_t sets = 1
        while sets * WAYS < max_entries:
            sets *= 2
        self.ways = <Way *>calloc(sets * WAYS, sizeof(Way))
        if self.ways == NULL:
            raise MemoryError
        self.mask = sets - 1
        self.store = store
        self.clock = clock
        self.max_weight = max_bytes
        self.epoch = store.epoch
        self.checked()

    def checked(self):
        """Note that the file is the one at its path; in a second it is to be checked again."""
        self.check_at = self.clock.monotonic_ns() + CHECK_PAUSE_NS

    @property
    def check_due(self):
        """Whether it is time to look whether the file was deleted or replaced."""
        return self.clock.monotonic_ns() >= self.check_at

    @property
    def is_live(self):
        """Whether these are results of the file that is open now; false for ever once it is not."""
        return self.epoch == self.store.epoch

    def abandon(self):
        """Forget all results and keep no others."""
        self.clear()
        self.epoch = <size_t>-1

    def __dealloc__(self):
        if self.ways != NULL:
            self.clear()
            free(self.ways)

    def clear(self):
        """Forget all results, as after closing the cache."""
        cdef uint64_t i
        for i in range((self.mask + 1) * WAYS):
            self._drop(&self.ways[i])

    def view(self):
        """Return a new View, whose results no other view sees."""
        self.views += 1
        return View(self, self.views)

    cdef void _drop(self, Way *way) noexcept:
        cdef PyObject *gone = way.hit
        if gone == NULL:
            return
        way.hit = NULL
        self.entries -= 1
        self.weight -= (<Hit>gone).weight
        Py_DECREF(<object>gone)

    cdef inline Way *_set_of(self, uint64_t signature) noexcept:
        return &self.ways[(signature & self.mask) * WAYS]

    cdef int _insert(self, uint64_t signature, Hit hit) except -1:
        if hit.weight > self.max_weight or self.epoch != self.store.epoch:
            return 0
        cdef Way *ways = self._set_of(signature)
        cdef Way *victim = &ways[0]
        cdef int i
        for i in range(WAYS):
            if ways[i].hit == NULL or (<Hit>ways[i].hit)._is_for(hit):
                victim = &ways[i]
                break
            if (<Hit>ways[i].hit).wall_deadline < (<Hit>victim.hit).wall_deadline:
                victim = &ways[i]
        self._drop(victim)
        while self.weight + hit.weight > self.max_weight and self.entries:
            self.hand = (self.hand + 1) % ((self.mask + 1) * WAYS)
            self._drop(&self.ways[self.hand])
        Py_INCREF(hit)
        victim.hit = <PyObject *>hit
        victim.signature = signature
        self.entries += 1
        self.weight += hit.weight
        return 0


cdef class View:
    """One application's window on the results: `lookup` is the hit path."""
    cdef Hits hits
    cdef uint64_t number

    def __cinit__(self, Hits hits not None, uint64_t number):
        self.hits = hits
        self.number = number

    @property
    def is_live(self):
        """Whether results are still kept here: not after the cache was closed or its file replaced."""
        return self.hits.is_live

    def lookup(self, scopes, account=None, variant=None):
        """Return the result kept for a list or tuple of scopes, an account (or None) and a variant, or None.

        `variant` is a str that tells apart requests that are alike otherwise, such as a tenant override.
        """
        cdef PyObject **items
        cdef Py_ssize_t count
        cdef object account_id = None
        cdef uint64_t signature
        cdef Way *way
        if not _items_of(scopes, &items, &count):
            return None
        if account is not None:
            if type(account) is not Account:
                return None
            account_id = account.home_account_id
        if not _sign(self.number, items, count, account_id, variant, &signature):
            return None
        way = self._probe(signature, items, count, account, variant)
        if way == NULL:
            self.hits.absent += 1
            return None
        return self._serve(way)

    cdef inline Way *_probe(self, uint64_t signature, PyObject **items, Py_ssize_t count, object account,
                            object variant):
        cdef Way *ways = self.hits._set_of(signature)
        cdef int i
        for i in range(WAYS):
            if ways[i].signature == signature and ways[i].hit != NULL and (<Hit>ways[i].hit).asked_by(
                self.number, items, count, account, variant
            ):
                return &ways[i]
        return NULL

    cdef inline object _serve(self, Way *way):
        cdef Hit hit = <Hit>way.hit
        cdef Clock clock = self.hits.clock
        cdef int64_t now = clock.monotonic_ns()
        if clock.wall_ns() >= hit.wall_deadline or now >= hit.monotonic_deadline or now >= self.hits.check_at:
            self.hits.overdue += 1
            return None
        if self.hits.epoch != self.hits.store.epoch:
            return None
        # Acquire, then read the entry: no commit newer than its tag had returned, in any process, before this load.
        if self.hits.store._newest() == hit.txnid:
            self.hits.served += 1
            return hit.result
        if self.hits.store._lags():
            return None  # the way through the file mends it
        if _still_true(self.hits.store, hit):
            self.hits.confirmed += 1
            return hit.result
        self.hits.outdated += 1
        if way.hit == <PyObject *>hit:
            self.hits._drop(way)
        return None

    def remember(self, scopes, account, variant, result, int64_t usable_until_ms, uint64_t txnid, witnesses,
                 size_t weight):
        """Keep `result` for a request until `usable_until_ms` (Unix milliseconds) or until a witness changes.

        `txnid` is of the snapshot that the result was read from; `witnesses` are one or two triples (db, key,
        sealed value or None) of that snapshot; `weight` is in bytes. A request with other than str is not kept.
        """
        cdef Hit hit = Hit()
        cdef object account_id
        cdef PyObject **items
        cdef Py_ssize_t count
        cdef uint64_t signature
        if not isinstance(scopes, (list, tuple)):
            return
        hit.scopes = tuple(scopes)
        hit.account = account
        account_id = None if account is None else account.home_account_id
        hit.variant = variant
        if not _items_of(hit.scopes, &items, &count):
            return
        if not _sign(self.number, items, count, account_id, variant, &signature):
            return
        hit.view = self.number
        hit.result = result
        hit.txnid = txnid
        hit.weight = weight
        hit.wall_deadline = usable_until_ms * 1_000_000
        hit.monotonic_deadline = self.hits.clock.monotonic_ns() + hit.wall_deadline - self.hits.clock.wall_ns()
        _take_witnesses(hit, witnesses)
        self.hits._insert(signature, hit)


cdef inline bint _items_of(object scopes, PyObject ***items, Py_ssize_t *count):
    if PyList_CheckExact(scopes):
        items[0] = (<PyListObject *>scopes).ob_item
        count[0] = PyList_GET_SIZE(scopes)
    elif PyTuple_CheckExact(scopes):
        items[0] = (<PyTupleObject *>scopes).ob_item
        count[0] = PyTuple_GET_SIZE(scopes)
    else:
        return False
    return True


cdef inline bint _sign(uint64_t view, PyObject **items, Py_ssize_t count, object account_id, object variant,
                       uint64_t *signature) except? False:
    cdef uint64_t state = _mix(view, count)
    cdef Py_ssize_t i
    for i in range(count):
        if not PyUnicode_CheckExact(<object>items[i]):
            return False
        state = _mix(state, <uint64_t>hash(<object>items[i]))
    if account_id is not None:
        if not PyUnicode_CheckExact(account_id):
            return False
        state = _mix(state, <uint64_t>hash(account_id))
    if variant is not None:
        if not PyUnicode_CheckExact(variant):
            return False
        state = _mix(state, ~<uint64_t>hash(variant))
    signature[0] = state
    return True


cdef int _take_witnesses(Hit hit, witnesses) except -1:
    cdef int i
    cdef bytes sealed
    for i in range(WITNESSES):
        hit.witnesses[i].db = -1
    for i, (db, key, value) in enumerate(witnesses):
        if i >= WITNESSES or len(key) != KEY_SIZE:
            raise ValueError(f"expected at most {WITNESSES} witnesses with keys of {KEY_SIZE} bytes")
        if value is not None and len(value) < HEADER_SIZE + TAG_SIZE:
            raise ValueError(f"expected a sealed record of {HEADER_SIZE + TAG_SIZE} bytes at least, got {len(value)}")
        _check_db(db)
        hit.witnesses[i].db = db
        memcpy(hit.witnesses[i].key, PyBytes_AS_STRING(key), KEY_SIZE)
        hit.witnesses[i].present = value is not None
        if value is not None:
            sealed = value
            _seal_of(hit.witnesses[i].seal, <unsigned char *>PyBytes_AS_STRING(sealed), PyBytes_GET_SIZE(sealed))
    return 0


cdef inline void _seal_of(unsigned char *seal, const unsigned char *value, size_t size) noexcept nogil:
    # Nonce and authentication tag: two writes of one record never have the same.
    memcpy(seal, value + NONCE_AT, NONCE_SIZE)
    memcpy(seal + NONCE_SIZE, value + size - TAG_SIZE, TAG_SIZE)


cdef bint _still_true(Store store, Hit hit) except -1:
    cdef uint64_t txnid
    cdef bint same = True
    cdef int i
    try:
        store._begin_read()
    except CacheError:
        return False  # the way through the file says so, or finds another
    for i in range(WITNESSES):
        if same and hit.witnesses[i].db >= 0:
            same = _as_witnessed(store, &hit.witnesses[i])
    txnid = store._snapshot_id()
    store._note(txnid)
    store._end_read()
    if same:
        hit.txnid = txnid
    return same


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
