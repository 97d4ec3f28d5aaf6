# --- the files that this process has open ------------------------------------------------------------------------------

MAX_MAP_SIZE = 1 << 33
LEAST_MAP_SIZE = LEAST_MAP

cdef dict _stores = {}  # (st_dev, st_ino) -> weak reference: POSIX locks allow one environment per file and process
_stores_lock = threading.Lock()


def open_store(path, size_t map_size, size_t max_map_size=MAX_MAP_SIZE):
    """Return the process's one Store for the file at `path`, opened if need be.

    The map begins with `map_size` bytes of address space and grows by itself up to `max_map_size`.

    Raises CacheError where the file cannot be opened or is not a warmtoken cache.
    """
    with _stores_lock:
        identity = _identity(path)
        store = _stores[identity]() if identity in _stores else None
        if store is not None and _identity(store.path) != identity:
            raise CacheRefusedError(
                "path_refused",
                f"refused to use {path}: it is open as {store.path}, from where it was moved; close that first",
            )
        if store is None:
            store = Store(path, map_size, max_map_size)
        return store


def _identity(path):
    # None where there is nothing, or nothing to be found out: whoever opens the file says why.
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def lmdb_version():
    """Return the version of the liblmdb in use as three numbers."""
    cdef int major, minor, patch
    mdb_version(&major, &minor, &patch)
    return major, minor, patch
