# --- the machine -----------------------------------------------------------------------------------------------------

MUTEX_SIZE = wt_mutex_size()


def file_system(path):
    """Return the magic number of the file system that `path` is on (statfs(2)), 0 where the system has none.

    Raises OSError where there is nothing at the path.
    """
    cdef uint64_t kind = 0
    cdef bytes name = os.fsencode(path)
    if wt_file_system(name, &kind) != 0:
        raise OSError(errno, os.strerror(errno), os.fspath(path))
    return kind


cdef int _pause(int attempt) except -1:
    import random
    import time

    time.sleep(min(0.02, 0.001 * 2**attempt) * (0.5 + random.random() / 2))
    return 0
