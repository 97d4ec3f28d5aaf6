# --- room: growth, sweeping, what is used ----------------------------------------------------------------------------

cdef bint _grow(Store store) except -1:
    # Whether there may be more room now. With the lock held and no transaction of ours open; other processes follow
    # at their next transaction.
    cdef MDB_envinfo info
    cdef int dead = 0
    mdb_reader_check(store.env, &dead)  # old pages that a dead reader pins can be used again after this
    if dead:
        return True
    _check(mdb_env_info(store.env, &info), f"writing {store.path}")
    if info.me_mapsize >= store.max_map_size:
        return False
    _check(store._map_anew(info.me_mapsize + _room_to_grow(store, info.me_mapsize)), "letting the map grow")
    return True


cdef size_t _room_to_grow(Store store, size_t size) except 0:
    # As much again, or half of what the process may still map (RLIMIT_AS), which needs the rest itself: to find that
    # out costs nothing, to fail costs the map.
    cdef size_t step = min(size, store.max_map_size - size)
    cdef size_t wanted
    cdef void *there
    while True:
        wanted = step + max(step, LEFT_TO_THE_PROCESS)
        there = mmap(NULL, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        if there != MAP_FAILED:
            munmap(there, wanted)
            return step
        if step <= LEAST_MAP:
            raise _error(ENOMEM, "letting the map grow")
        step = max(LEAST_MAP, step // 2) & ~(<size_t>0xFFFF)


cdef int _check_space(Store store) except -1:
    if _is_short_of_space(store):
        raise _error(ENOSPC, f"writing {store.path}")
    return _check(MDB_MAP_FULL if _is_short_of_map(store) else MDB_SUCCESS, f"writing {store.path}")


cdef bint _is_short_of_space(Store store) except -1:
    # Deleting copies pages too: on a full disk the last of the reserve is for that alone.
    cdef MDB_envinfo info
    cdef off_t needed
    cdef int fd
    store._stay_open()
    _check(mdb_env_info(store.env, &info), f"writing {store.path}")
    _check(mdb_env_get_fd(store.env, &fd), f"writing {store.path}")
    needed = (info.me_last_pgno + 1) * store.page_size
    if lseek(fd, 0, SEEK_END) >= needed + KEPT_FOR_DELETING:
        return False
    _keep_reserve(store)
    if lseek(fd, 0, SEEK_END) >= needed + KEPT_FOR_DELETING:
        return False
    return needed - usage(store)[0] < KEPT_FOR_DELETING  # else pages within the file are free


cdef bint _is_short_of_map(Store store) except -1:
    # The same where the map cannot grow any more.
    cdef MDB_envinfo info
    cdef size_t needed
    store._stay_open()
    _check(mdb_env_info(store.env, &info), f"writing {store.path}")
    needed = (info.me_last_pgno + 1) * store.page_size
    if info.me_mapsize >= needed + KEPT_FOR_DELETING or needed - usage(store)[0] >= KEPT_FOR_DELETING:
        return False
    with store.write_lock:
        return store.env != NULL and not _grow(store)


cdef void _keep_reserve(Store store) noexcept nogil:
    # Space behind the data: with it LMDB can still write, and so free pages, when the disk is full. It also keeps
    # the file as long as its meta pages say, which a last page that was never written would not.
    cdef MDB_envinfo info
    cdef off_t size, needed
    cdef int fd
    if mdb_env_info(store.env, &info) != MDB_SUCCESS or mdb_env_get_fd(store.env, &fd) != MDB_SUCCESS:
        return
    size = lseek(fd, 0, SEEK_END)
    needed = (info.me_last_pgno + 1) * store.page_size
    if 0 <= size < needed + RESERVE // 2:
        wt_extend(fd, size, needed + RESERVE)


cdef bint _disk_is_full(Store store) except -1:
    found = os.statvfs(store.path)
    return found.f_bavail * found.f_frsize < RESERVE


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
