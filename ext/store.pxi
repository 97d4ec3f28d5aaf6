# --- the environment -------------------------------------------------------------------------------------------------

cdef enum:
    MAX_READERS = 4096
    RESERVE = 1048576  # bytes
    KEPT_FOR_DELETING = 131072  # bytes of the reserve
    LAGGING_READS = 3
    LAG_NS = 50_000_000
    HEAL_PAUSE_NS = 1_000_000_000
    LOCK_FILE_SIZE = 192 + (MAX_READERS - 1) * 64  # what LMDB 0.9 makes of it
    TXNID_AT = 144  # of each meta page, in LMDB 0.9 on 64-bit machines; checked when the file is opened
    RECOVERIES = 3  # at a time: writes of other threads may go on failing
    LEAST_MAP = 1048576  # bytes, where the process may not map more
    LEFT_TO_THE_PROCESS = 8388608  # bytes of address space that the map's growth does not take


cdef class Store:
    """One LMDB environment: reads under the GIL in one reused snapshot, writes in one transaction per commit.

    `gate` makes a context in which no other process writes; `keeper` is kept for as long as the file is open.
    """
    cdef MDB_env *env
    cdef MDB_txn *reader
    cdef MDB_dbi[DB_COUNT] dbis
    cdef const unsigned char *meta
    cdef size_t meta_size
    cdef size_t page_size
    cdef size_t map_size
    cdef size_t max_map_size
    cdef uint64_t forks
    cdef readonly str path
    cdef readonly size_t heals, epoch, recoveries
    cdef uint64_t lag_txnid
    cdef int64_t lag_since
    cdef int64_t healed_at
    cdef int lag_reads
    cdef bint borrowed
    cdef object borrowed_gate
    cdef bint proven, incoherent
    cdef object write_lock
    cdef public object gate
    cdef public object keeper
    cdef object data_file, lock_file  # which they are: (st_dev, st_ino)
    cdef uint64_t device, inode  # the same of the data file
    cdef object __weakref__

    def __cinit__(self, path, size_t map_size, size_t max_map_size):
        self.path = path
        self.map_size = map_size
        self.max_map_size = max_map_size
        self.write_lock = threading.Lock()
        self.gate = nullcontext
        self.forks = wt_fork_count()
        self._open()

    cdef inline int _stay_open(self) except -1:
        if self.forks != wt_fork_count() or self.env == NULL:
            self._reopen()
        return 0

    def __dealloc__(self):
        self._close()

    cdef int _close(self) except -1:
        if self.meta != NULL:
            munmap(<void *>self.meta, self.meta_size)
            self.meta = NULL
        if self.env != NULL:
            # In a forked child the snapshot belongs to the parent: ending it would wipe the parent's reader slot. Nor
            # is the environment taken apart if another thread was writing when the child was made: it may be torn.
            if self.forks == wt_fork_count():
                if self.reader != NULL:
                    mdb_txn_abort(self.reader)
                self._close_environment()
            elif not self.write_lock.locked():
                self._close_environment()
            self.reader = NULL
            self.env = NULL
        return 0

    cdef void _close_environment(self) noexcept:
        # A daemon closes the descriptors that it inherited: what has their numbers by now is the program's own.
        cdef struct_stat found
        cdef int fd
        if (
            mdb_env_get_fd(self.env, &fd) == MDB_SUCCESS and fstat(fd, &found) == 0
            and found.st_dev == self.device and found.st_ino == self.inode
        ):
            mdb_env_close(self.env)

    cdef int _open(self) except -1:
        cdef int dead, made
        if self.incoherent:
            raise CacheRefusedError("file_system_refused", f"{self.path}: {_INCOHERENT}")
        self.proven = False
        try:
            self._reserve_lock_file()
            self._open_environment()
            if _frees_slots_of_this_pid(self.env):
                self._close()
                self._open_environment()
            mdb_reader_check(self.env, &dead)
            made = self._open_databases()
            self._map_meta_pages()
            if made:  # else the file stays as it is: its key may be missing
                _keep_reserve(self)
        except BaseException:
            self._close()
            raise
        return 0

    cdef int _open_environment(self) except -1:
        cdef MDB_env *env = NULL  # not in `self` before it is open: other threads may look there meanwhile
        cdef int rc, fd, attempt = 0
        cdef bytes path = os.fsencode(self.path)
        cdef bint fresh = not os.path.exists(path) or os.path.getsize(path) == 0
        # Another process that opens or closes the file at this moment can make the call fail (and LMDB 0.9.26 to
        # 0.9.31 fail so now and then by themselves): try again for a while. Where the process may not map so much
        # (RLIMIT_AS), a smaller map does: it grows when it must.
        while True:
            _check(mdb_env_create(&env), "creating the LMDB environment")
            mdb_env_set_mapsize(env, self.map_size)
            mdb_env_set_maxreaders(env, MAX_READERS)
            mdb_env_set_maxdbs(env, DB_COUNT)
            rc = mdb_env_open(env, path, MDB_NOTLS | MDB_NOSUBDIR, 0o600)
            if rc == MDB_SUCCESS:
                break
            mdb_env_close(env)
            if rc == ENOMEM and self.map_size > LEAST_MAP:
                self.map_size //= 2
                continue
            if (rc != EINVAL and rc != EAGAIN) or attempt == 5:
                break
            _pause(attempt)
            attempt += 1
        if fresh and rc == ENOSPC:
            os.truncate(path, 0)  # half a header would be refused as somebody else's file
        _check(rc, f"opening {self.path}")
        mdb_env_get_fd(env, &fd)
        self._note_data_file(fd)
        self.env = env  # from here on nothing lets go of the GIL: there are no databases yet
        # LMDB opens the data file without O_CLOEXEC: a program started from here must not get it.
        fcntl(fd, F_SETFD, fcntl(fd, F_GETFD) | FD_CLOEXEC)
        return 0

    cdef int _note_data_file(self, int fd) except -1:
        # Another one than before: what was read from that one, its keys too, says nothing of this one.
        cdef struct_stat opened
        fstat(fd, &opened)
        self.device, self.inode = opened.st_dev, opened.st_ino
        before, self.data_file = self.data_file, (self.device, self.inode)
        if before is not None and before != self.data_file:
            _stores.pop(before, None)
            self.epoch += 1
        _stores[self.data_file] = weakref.ref(self)
        return 0

    cdef int _reserve_lock_file(self) except -1:
        # LMDB maps this file writable: on a full disk the first touch of a page that is not there yet would kill the
        # process. Closing it again is harmless, since no environment of this process is open yet.
        cdef int fd, rc
        try:
            fd = os.open(self.path + "-lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise _error(error.errno, f"opening {self.path}-lock") from error
        opened = os.fstat(fd)
        self.lock_file = opened.st_dev, opened.st_ino
        rc = errno if wt_extend(fd, 0, LOCK_FILE_SIZE) != 0 else 0
        os.close(fd)
        return _check(rc, f"opening {self.path}-lock") if rc == ENOSPC or rc == EDQUOT else 0

    cdef int _open_databases(self) except -1:
        # Where no reader's slot is free, the write transaction opens them too: it needs none.
        cdef MDB_txn *txn = NULL
        cdef int rc = mdb_txn_begin(self.env, NULL, MDB_RDONLY, &txn)
        if rc != MDB_READERS_FULL:
            _check(rc, f"reading {self.path}")
            rc = self._open_each(txn, 0)
            if rc == MDB_SUCCESS:
                return _check(mdb_txn_commit(txn), f"reading {self.path}")
            mdb_txn_abort(txn)
            if rc != MDB_NOTFOUND:
                _check(rc, f"opening {self.path}")
        _check(mdb_txn_begin(self.env, NULL, 0, &txn), f"preparing {self.path}")
        rc = self._open_each(txn, MDB_CREATE if self._is_new(txn) else 0)
        if rc != MDB_SUCCESS:
            mdb_txn_abort(txn)
            # All databases come with the first transaction: a file without one of them is somebody else's, or damaged.
            return _check(MDB_INVALID if rc == MDB_NOTFOUND else rc, f"preparing {self.path}")
        return 1 + _check(mdb_txn_commit(txn), f"preparing {self.path}")

    cdef bint _is_new(self, MDB_txn *txn) noexcept:
        # Nothing in it, and nothing ever was. The transaction's id does not tell: it may go on from a lock file's.
        cdef MDB_envinfo info
        cdef MDB_stat stat
        cdef MDB_dbi main
        return (
            mdb_env_info(self.env, &info) == MDB_SUCCESS
            and info.me_last_txnid == 0
            and mdb_dbi_open(txn, NULL, 0, &main) == MDB_SUCCESS
            and mdb_stat(txn, main, &stat) == MDB_SUCCESS
            and stat.ms_entries == 0
        )

    cdef int _open_each(self, MDB_txn *txn, unsigned int flags) noexcept:
        cdef int i, rc
        for i in range(DB_COUNT):
            rc = mdb_dbi_open(txn, _NAMES[i], flags, &self.dbis[i])
            if rc != MDB_SUCCESS:
                return rc
        return MDB_SUCCESS

    cdef int _map_meta_pages(self) except -1:
        cdef MDB_stat stat
        cdef int fd
        _check(mdb_env_stat(self.env, &stat), "asking for the page size")
        _check(mdb_env_get_fd(self.env, &fd), "asking for the descriptor")
        self.page_size = stat.ms_psize
        self.meta_size = 2 * self.page_size
        self.meta = <const unsigned char *>mmap(NULL, self.meta_size, PROT_READ, MAP_SHARED, fd, 0)
        if self.meta == MAP_FAILED:
            self.meta = NULL
        elif not self._meta_pages_agree():
            munmap(<void *>self.meta, self.meta_size)
            self.meta = NULL
        return 0

    cdef bint _meta_pages_agree(self) noexcept:
        cdef MDB_envinfo info
        cdef int attempt
        for attempt in range(100):  # a commit of another process may fall between the two looks
            mdb_env_info(self.env, &info)
            if self._newest() == info.me_last_txnid:
                return True
        return False

    cdef inline uint64_t _newest(self) noexcept nogil:
        cdef uint64_t first, second
        if self.meta == NULL:
            return self._newest_by_info()
        first = wt_load_acquire(<const uint64_t *>(self.meta + TXNID_AT))
        second = wt_load_acquire(<const uint64_t *>(self.meta + self.page_size + TXNID_AT))
        return first if first > second else second

    cdef uint64_t _newest_by_info(self) noexcept nogil:
        cdef MDB_envinfo info
        if self.env == NULL or mdb_env_info(self.env, &info) != MDB_SUCCESS:
            return 0  # no snapshot has this id
        return info.me_last_txnid

    cdef int _reopen(self) except -1:
        # The order matters: leak the snapshot, close (which only drops slots of this pid), then open our own. After a
        # failure the next use tries again.
        with _stores_lock:
            if self.env != NULL and self.forks == wt_fork_count():
                return 0
            if self.forks != wt_fork_count():
                self._close()
                self.write_lock = threading.Lock()
            with self.write_lock:
                self._open()
                self.forks = wt_fork_count()
        return 0

    cdef int _recover(self, size_t epoch) except -1:
        # A disk error while a meta page was written: LMDB refuses this environment all later transactions, also reads.
        # No snapshot is open here and the lock waits for the writer. What is in memory ends with the environment.
        with _stores_lock:
            with self.write_lock:
                if self.epoch == epoch or self.env == NULL:
                    self._close()
                    self.epoch += 1
                    self._open()
                    self.recoveries += 1
        return 0

    cdef int _map_anew(self, size_t size) except -1:
        # With the lock held and no transaction of ours open. LMDB unmaps the file first: where mapping it again fails
        # there is no map any more, and the next use has to open the file anew, with a map that it can have.
        cdef int rc = mdb_env_set_mapsize(self.env, size)
        if rc != MDB_SUCCESS:
            self._close()
            self.epoch += 1
        return rc

    @property
    def is_current(self):
        """Whether the files at the path are still those that are open, not deleted or replaced by others."""
        self._stay_open()
        return _identity(self.path) == self.data_file and _identity(self.path + "-lock") == self.lock_file

    @property
    def has_lost_its_lock_file(self):
        """Whether LMDB's lock file alone is another by now: who opens that knows nothing of our transactions."""
        return _identity(self.path + "-lock") != self.lock_file and _identity(self.path) == self.data_file

    def reopen(self):
        """Let go of the open file and open the one that is at the path now; `epoch` counts how often that was.

        In place, and in this order: two environments of one process must not share a lock file.
        """
        with _stores_lock:
            with self.write_lock:
                self._close()
                self.epoch += 1
                self._open()

    cdef int _adopt_map_size(self) except -1:
        # Another process let the map grow. No snapshot of ours is open here, and the lock keeps writers out.
        # Where there is no room for so large a map, the file is opened anew with what there is room for.
        cdef int rc = MDB_SUCCESS
        with self.write_lock:
            if self.env != NULL:
                rc = self._map_anew(0)
        return 0 if rc == ENOMEM else _check(rc, "following the map's growth")

    cdef inline int _begin_read(self) except -1:
        self._stay_open()
        if self.reader != NULL and mdb_txn_renew(self.reader) == MDB_SUCCESS:
            if _has_its_own_roots(self):
                return 0
            mdb_txn_reset(self.reader)
        return _begin_read_slowly(self)

    cdef inline uint64_t _snapshot_id(self) noexcept nogil:
        # A write transaction has the id that its commit would make, one more than of what it sees.
        return mdb_txn_id(self.reader) - self.borrowed

    cdef inline int _end_read(self) except -1:
        if self.borrowed:
            return _give_back(self)
        mdb_txn_reset(self.reader)
        return 0

    cdef int _prove(self, uint64_t txnid) except -1:
        # The first commit of a process shows whether what it wrote comes up in the mapping: on a file system whose
        # mappings do not follow the file, results in memory would be served for ever.
        if self._newest() < txnid and self.meta != NULL:
            munmap(<void *>self.meta, self.meta_size)
            self.meta = NULL
        if self._newest() < txnid:
            with self.write_lock:
                self._close()
                self.epoch += 1
                self.incoherent = True
            raise CacheRefusedError("file_system_refused", f"{self.path}: {_INCOHERENT}")
        self.proven = True
        return 0

    cdef inline void _note(self, uint64_t txnid) noexcept nogil:
        # A writer that is killed at the wrong moment leaves its commit on disk but shown to no reader, and then no
        # result in memory is ever current. Three reads that lag behind, over some time, are no coincidence.
        if self._newest() <= txnid:
            self.lag_reads = 0
        elif self.lag_reads and self.lag_txnid == txnid:
            self.lag_reads += 1
        else:
            self.lag_txnid = txnid
            self.lag_since = _read_clock(CLOCK_MONOTONIC_COARSE)
            self.lag_reads = 1

    cdef inline bint _lags(self) noexcept nogil:
        cdef int64_t now
        if self.lag_reads < LAGGING_READS:
            return False
        now = _read_clock(CLOCK_MONOTONIC_COARSE)
        return now - self.lag_since >= LAG_NS and now - self.healed_at >= HEAL_PAUSE_NS

    @property
    def needs_heal(self):
        """Whether readers do not see the newest commit, since its writer died: any write transaction mends that."""
        return self._lags()

    def heal_later(self):
        """Note that another process is writing, which mends the lag too; look again in a second at the earliest."""
        self.healed_at = _read_clock(CLOCK_MONOTONIC_COARSE)

    def healed(self):
        """Note that a write transaction was made to mend the lag; the next one is made in a second at the earliest."""
        self.heals += 1
        self.lag_reads = 0
        self.healed_at = _read_clock(CLOCK_MONOTONIC_COARSE)

    @property
    def newest(self):
        """The newest transaction id that any process has written."""
        return self._newest()
