# --- finished results in memory --------------------------------------------------------------------------------------
# A set-associative table of hits. Each is tagged with the id of the read transaction that produced it, and served
# only while that is still the newest id in the file, or once the records it was made from are seen to be the same.

cdef enum:
    WAYS = 4
    CHECK_PAUSE_NS = 1_000_000_000
    ABSENCE_WEIGHT = 1024  # bytes, roughly, of an error and its request

cdef int64_t NEVER = 0x7fffffffffffffff  # nanoseconds

cdef struct Way:
    uint64_t signature
    PyObject *hit


cdef class Hit:
    """A finished result, the request it answers, and the sealed records it was made from.

    Where there are no such records the result is an error: the file has no token for the request.
    """
    cdef object result
    cdef tuple scopes
    cdef object account
    cdef object variant
    cdef uint64_t view
    cdef uint64_t txnid
    cdef int64_t wall_deadline
    cdef int64_t monotonic_deadline
    cdef size_t weight
    cdef Witnesses witnesses

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

    cdef inline bint _outranks(self, Hit other) noexcept:
        return self.witnesses is not None and other.witnesses is None

    cdef inline bint _goes_before(self, Hit other) noexcept:
        if other._outranks(self) or self._outranks(other):
            return other._outranks(self)
        return self.wall_deadline < other.wall_deadline

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
    cdef object __weakref__

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

    def forget_absences(self):
        """Forget of which requests the file has no token: one came that could not be written."""
        cdef Way *way
        cdef uint64_t i
        for i in range((self.mask + 1) * WAYS):
            way = &self.ways[i]
            if way.hit != NULL and (<Hit>way.hit).witnesses is None:
                self._drop(way)

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

    cdef Way *_place_for(self, Way *ways, Hit hit) except? NULL:
        cdef Way *victim = &ways[0]
        cdef int i
        for i in range(WAYS):
            if ways[i].hit == NULL or (<Hit>ways[i].hit)._is_for(hit):
                return &ways[i]
            if (<Hit>ways[i].hit)._goes_before(<Hit>victim.hit):
                victim = &ways[i]
        # Who asks for what is not there must not push out what others are served from.
        return NULL if (<Hit>victim.hit)._outranks(hit) else victim

    cdef int _insert(self, uint64_t signature, Hit hit) except -1:
        if hit.weight > self.max_weight or self.epoch != self.store.epoch:
            return 0
        cdef Way *victim = self._place_for(self._set_of(signature), hit)
        if victim == NULL:
            return 0
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
        cdef Hit hit = self.find(scopes, account, variant)
        return None if hit is None or hit.witnesses is None else hit.result

    def absence(self, scopes, account=None, variant=None):
        """Return the error kept for a request for which the file has no token, or None."""
        cdef Hit hit = self.find(scopes, account, variant)
        return None if hit is None or hit.witnesses is not None else hit.result

    cdef inline Hit find(self, scopes, account, variant):
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

    cdef inline Hit _serve(self, Way *way):
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
            return hit
        if self.hits.store._lags():
            return None  # the way through the file mends it
        if hit.witnesses is not None and _still_true(self.hits.store, hit):
            self.hits.confirmed += 1
            return hit
        self.hits.outdated += 1
        if way.hit == <PyObject *>hit:
            self.hits._drop(way)
        return None

    def remember(self, scopes, account, variant, result, int64_t usable_until_ms, uint64_t txnid,
                 Witnesses witnesses not None, size_t weight):
        """Keep `result` for a request until `usable_until_ms` (Unix milliseconds) or until a witness changes.

        `txnid` is of the snapshot that the result was read from, and the witnesses; `weight` is in bytes. A request
        with other than str is not kept.
        """
        self._keep(self._hit(result, usable_until_ms, txnid, witnesses, weight), scopes, account, variant)

    def remember_token(self, scopes, account, variant, CachedToken token not None, int64_t usable_until_ms,
                       str reason not None="not_applicable"):
        """Keep the result for a token that was found, as `cached_result` makes it, like `remember`."""
        cdef object result = _cached_result(token, account, "L1", 0.0, None, reason)
        cdef Hit hit = self._hit(result, usable_until_ms, token.txnid, token.witnesses, token._weight())
        self._keep(hit, scopes, account, variant)

    cdef Hit _hit(self, result, int64_t usable_until_ms, uint64_t txnid, Witnesses witnesses, size_t weight):
        cdef int64_t deadline = usable_until_ms * 1_000_000 if usable_until_ms < NEVER // 1_000_000 else NEVER
        cdef Hit hit = Hit.__new__(Hit)
        hit.result = result
        hit.txnid = txnid
        hit.weight = weight
        hit.wall_deadline = deadline
        hit.monotonic_deadline = deadline - self.hits.clock.wall_ns() + self.hits.clock.monotonic_ns()
        hit.witnesses = witnesses
        return hit

    def remember_absence(self, scopes, account, variant, error, uint64_t txnid):
        """Keep the error for a request for which the file has no token, until anything is committed.

        `txnid` is of the snapshot that had none. Nothing proves that a later one has none either.
        """
        cdef Hit hit = Hit()
        hit.result = error
        hit.txnid = txnid
        hit.weight = ABSENCE_WEIGHT
        hit.wall_deadline = hit.monotonic_deadline = NEVER
        self._keep(hit, scopes, account, variant)

    cdef int _keep(self, Hit hit, scopes, account, variant) except -1:
        cdef object account_id = None if account is None else account.home_account_id
        cdef PyObject **items
        cdef Py_ssize_t count
        cdef uint64_t signature
        if not isinstance(scopes, (list, tuple)):
            return 0
        hit.view = self.number
        hit.scopes = tuple(scopes)
        hit.account = account
        hit.variant = variant
        if not _items_of(hit.scopes, &items, &count):
            return 0
        if not _sign(self.number, items, count, account_id, variant, &signature):
            return 0
        return self.hits._insert(signature, hit)


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


cdef bint _still_true(Store store, Hit hit) except -1:
    cdef uint64_t txnid
    cdef bint same = True
    cdef int i
    try:
        store._begin_read()
    except CacheError:
        return False  # the way through the file says so, or finds another
    for i in range(WITNESSES):
        if same and hit.witnesses.items[i].db >= 0:
            same = _as_witnessed(store, &hit.witnesses.items[i])
    txnid = store._snapshot_id()
    store._note(txnid)
    store._end_read()
    if same:
        hit.txnid = txnid
    return same
