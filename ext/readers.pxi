# --- LMDB's table of readers -----------------------------------------------------------------------------------------

cdef int _begin_read_slowly(Store store) except -1:
    cdef int rc = MDB_SUCCESS, dead, attempt, full = 0, recovered = 0
    for attempt in range(8):
        store._stay_open()
        if store.reader != NULL:
            rc = mdb_txn_renew(store.reader)
        elif full < 2:
            rc = mdb_txn_begin(store.env, NULL, MDB_RDONLY, &store.reader)
        else:
            rc = _borrow(store)
        if rc == MDB_SUCCESS:
            if _has_its_own_roots(store):
                return 0
            mdb_txn_reset(store.reader)
            rc = MDB_CORRUPTED  # unless the next attempt says otherwise
        elif rc == MDB_MAP_RESIZED:
            store._adopt_map_size()
        elif rc == MDB_READERS_FULL:
            mdb_reader_check(store.env, &dead)
            full += 1
        elif rc == MDB_PANIC and recovered < RECOVERIES:
            recovered += 1
            store._recover(store.epoch)
        else:
            break
    return _check(rc, f"reading {store.path}")


cdef inline bint _has_its_own_roots(Store store) noexcept nogil:
    # LMDB takes the newest id first, and then the roots from that id's meta page. In between two commits may come, and
    # the roots be those of the second one: a commit that nobody may see yet, and nobody will where its writer dies now.
    cdef uint64_t txnid = mdb_txn_id(store.reader)
    if store.borrowed or store.meta == NULL:
        return True
    return wt_load_last(<const uint64_t *>(store.meta + (txnid & 1) * store.page_size + TXNID_AT)) == txnid


cdef int _borrow(Store store) except -100:
    # All readers' slots are taken: read in a write transaction, which needs none. It sees what a reader would,
    # changes nothing, and ends with the read.
    cdef MDB_txn *txn = NULL
    cdef int rc = MDB_PANIC
    gate = store.gate()
    gate.__enter__()
    try:
        store.write_lock.acquire()
    except BaseException:  # Ctrl-C
        gate.__exit__(None, None, None)
        raise
    if store.env != NULL:
        with nogil:
            rc = mdb_txn_begin(store.env, NULL, 0, &txn)
    if rc == MDB_SUCCESS and store.reader == NULL:
        store.reader, store.borrowed, store.borrowed_gate = txn, True, gate
        return rc
    if rc == MDB_SUCCESS:
        mdb_txn_abort(txn)  # another thread got a slot meanwhile
        rc = MDB_READERS_FULL
    store.write_lock.release()
    gate.__exit__(None, None, None)
    return rc


cdef int _give_back(Store store) except -1:
    mdb_txn_abort(store.reader)
    gate = store.borrowed_gate
    store.reader, store.borrowed, store.borrowed_gate = NULL, False, None
    store.write_lock.release()
    gate.__exit__(None, None, None)
    return 0


cdef int _take_line(const char *text, void *context) noexcept with gil:
    (<list>context).append(text.decode("ascii", "replace"))
    return 0


def readers(Store store not None):
    """Return LMDB's table of reading threads as (process id, id of the transaction it reads or None), for all."""
    cdef list lines = []
    store._stay_open()
    _check(min(0, mdb_reader_list(store.env, _take_line, <void *>lines)), f"reading {store.path}")
    return _reader_rows(lines)


def _reader_rows(list lines):
    rows = [line.split() for text in lines for line in text.splitlines()]
    return [(int(row[0]), None if row[2] == "-" else int(row[2])) for row in rows if len(row) == 3 and row[0].isdigit()]


def check_readers(Store store not None):
    """Give back the slots of processes that died, with the old pages they keep from use; return how many there were."""
    cdef int dead = 0
    store._stay_open()
    _check(mdb_reader_check(store.env, &dead), f"reading {store.path}")
    return dead


cdef bint _frees_slots_of_this_pid(MDB_env *env) except -1:
    # Before the first read of an environment a slot with our process id is of another process that had the same id,
    # and died. LMDB takes it for alive, but gives back all slots of this id when the environment is closed, up to the
    # last one that was taken when this process first read.
    cdef list lines = []
    cdef MDB_txn *txn = NULL
    if mdb_reader_list(env, _take_line, <void *>lines) < 0:
        return False
    if not any(pid == os.getpid() for pid, _ in _reader_rows(lines)):
        return False
    if mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != MDB_SUCCESS:
        return False
    mdb_txn_abort(txn)
    return True
