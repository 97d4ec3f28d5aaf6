# --- return codes ----------------------------------------------------------------------------------------------------

_CORRUPT = {MDB_CORRUPTED, MDB_PAGE_NOTFOUND, MDB_INVALID, MDB_VERSION_MISMATCH}
_FULL = {MDB_MAP_FULL, ENOMEM, ENOSPC, EDQUOT}
_INCOHERENT = (
    "what this process writes does not come up where it reads: the file system does not let processes share a mapped "
    "file; choose a path on a local disk or on tmpfs"
)
_ADVICE = {
    MDB_INVALID: ("not_a_cache", "expected a warmtoken cache, found a file of another kind; move it away"),
    MDB_VERSION_MISMATCH: ("format_mismatch", "the file was written by another LMDB format; move it away"),
    MDB_PANIC: ("cache_panic", "a disk error stopped this process from using the cache; look after the disk"),
    MDB_READERS_FULL: ("readers_full", "too many processes use the cache at once; end some, or try again"),
    ENOMEM: ("no_address_space", "the process may not map so much; raise its limit (ulimit -v), or lower map_size"),
    MDB_MAP_FULL: ("map_full", "the cache reached the size of its map; remove accounts or raise map_size"),
    ENOSPC: ("disk_full", "the disk is full; free some space and try again"),
    EDQUOT: ("disk_full", "the disk quota is used up; free some space and try again"),
    EACCES: ("cache_not_writable", "this user may not write there; choose another path or mend its permissions"),
    EPERM: ("cache_not_writable", "this user may not write there; choose another path or mend its permissions"),
    EROFS: ("cache_not_writable", "the file system is read-only; choose a path on a writable one"),
    EAGAIN: ("pid_collision", "another container uses this cache under the same process id; give each its own path"),
}


cdef object _error(int rc, str what):
    cdef object code, advice, kind
    code, advice = _ADVICE.get(rc, ("cache_io_error", mdb_strerror(rc).decode()))
    if rc in _FULL:
        kind = CacheFullError
    elif rc in _CORRUPT:
        kind = CacheCorruptError
    elif rc in (EACCES, EPERM, EROFS, EAGAIN):
        kind = CacheRefusedError
    else:
        kind = CacheError
    return kind(code, f"{what}: {advice}")


cdef int _check(int rc, str what) except -1:
    if rc != MDB_SUCCESS:
        raise _error(rc, what)
    return 0
