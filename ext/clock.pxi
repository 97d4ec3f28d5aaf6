# --- clock -----------------------------------------------------------------------------------------------------------

cdef inline int64_t _read_clock(int which) noexcept nogil:
    cdef timespec now
    clock_gettime(which, &now)
    return now.tv_sec * 1_000_000_000 + now.tv_nsec


cdef class Clock:
    """The time that decides about expiry: the system's, plus offsets that a test may set.

    Times are Unix and monotonic nanoseconds of the kernel's coarse clocks, at most one tick (4 ms) behind.
    """
    cdef public int64_t wall_offset
    cdef public int64_t monotonic_offset

    cdef inline int64_t wall_ns(self) noexcept nogil:
        return _read_clock(CLOCK_REALTIME_COARSE) + self.wall_offset

    cdef inline int64_t monotonic_ns(self) noexcept nogil:
        return _read_clock(CLOCK_MONOTONIC_COARSE) + self.monotonic_offset

    def time(self):
        """Return the wall clock in Unix seconds."""
        return self.wall_ns() / 1e9

    def monotonic(self):
        """Return the monotonic clock in seconds."""
        return self.monotonic_ns() / 1e9
