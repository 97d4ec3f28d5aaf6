/* What Cython cannot say: acquire loads, a byte that fork wipes, bytes in a given order, space behind a file's end. */
#ifndef WARMTOKEN_NATIVE_H
#define WARMTOKEN_NATIVE_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#ifdef __linux__
#include <sys/vfs.h>
#endif

#ifndef CLOCK_REALTIME_COARSE /* macOS has none: the exact clocks do as well, and cost more */
#define CLOCK_REALTIME_COARSE CLOCK_REALTIME
#define CLOCK_MONOTONIC_COARSE CLOCK_MONOTONIC
#endif

static inline uint64_t wt_load_acquire(const uint64_t *word) { return __atomic_load_n(word, __ATOMIC_ACQUIRE); }

/* A load that comes after all loads before it, such as those of what the word guards. */
static inline uint64_t wt_load_last(const uint64_t *word) {
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline int64_t wt_le64(const unsigned char *bytes) {
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--) value = value << 8 | bytes[i];
    return (int64_t)value;
}

static inline int64_t wt_le32(const unsigned char *bytes) {
    return (int64_t)bytes[0] | (int64_t)bytes[1] << 8 | (int64_t)bytes[2] << 16 | (int64_t)bytes[3] << 24;
}

static inline int64_t wt_be64(const unsigned char *bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | bytes[i];
    return (int64_t)value;
}

static inline void wt_put_le32(unsigned char *bytes, uint32_t value) {
    for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(value >> (8 * i));
}

static inline void wt_put_le64(unsigned char *bytes, int64_t value) {
    for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)value >> (8 * i));
}

/* Random bytes of the kernel, 256 at most. Not through Python: os.urandom lets go of the GIL, and then waits for it. */
static inline int wt_random(unsigned char *bytes, size_t size) { return getentropy(bytes, size); }

static inline void wt_put_be64(unsigned char *bytes, uint64_t value) {
    for (int i = 7; i >= 0; i--, value >>= 8) bytes[i] = (unsigned char)value;
}

/* Allocates space behind the end of a file and lets it grow over it; never touches what is there. posix_fallocate
   would, on file systems without support: it rewrites a byte of each block, under the feet of other processes. */
static inline int wt_extend(int fd, off_t from, off_t to) {
#ifdef __linux__
    return fallocate(fd, 0, from, to - from);
#else
    (void)fd, (void)from, (void)to;
    return -1;
#endif
}

/* The kind of the file system that a path is on, by its magic number (statfs(2)); 0 where the system has none. */
static inline int wt_file_system(const char *path, uint64_t *kind) {
    *kind = 0;
#ifdef __linux__
    struct statfs found;
    if (statfs(path, &found) != 0) return -1;
    *kind = (uint32_t)found.f_type;
#else
    (void)path;
#endif
    return 0;
}

static inline size_t wt_mutex_size(void) { return sizeof(pthread_mutex_t); }

/* Counts the forks that this process came out of as the child. */
static volatile uint64_t wt_forks;
/* 1 in the process that set it; the kernel hands every child a page of zeros, also past atfork handlers. */
static volatile unsigned char *wt_mine;

static void wt_forked(void) { wt_forks++; }

static inline int wt_watch_forks(void) {
#ifdef MADV_WIPEONFORK
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page != MAP_FAILED) {
        if (madvise(page, 4096, MADV_WIPEONFORK) == 0) {
            wt_mine = page;
            *wt_mine = 1;
        } else {
            munmap(page, 4096);
        }
    }
#endif
    return pthread_atfork(NULL, NULL, wt_forked);
}

/* The number of forks so far; a child made behind pthread's back is counted at its first look. */
static inline uint64_t wt_fork_count(void) {
    if (wt_mine && !*wt_mine) {
        *wt_mine = 1;
        wt_forks += 1 + (1ULL << 32);
    }
    return wt_forks;
}

#endif
