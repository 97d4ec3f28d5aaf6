/* Preloaded into a process: every sync of a file takes WARMTOKEN_SYNC_US microseconds longer, as on a slower disk. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static void wait_for_disk(void) {
    static long microseconds = -1;
    if (microseconds < 0) microseconds = atol(getenv("WARMTOKEN_SYNC_US") ?: "0");
    struct timespec pause = {microseconds / 1000000, microseconds % 1000000 * 1000};
    if (microseconds) nanosleep(&pause, NULL);
}

int fdatasync(int fd) {
    wait_for_disk();
    return syscall(SYS_fdatasync, fd);
}

/* LMDB writes its meta page, of which it needs less than a page, by a descriptor that syncs each write. */
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    if (size < 4096 && fcntl(fd, F_GETFL) & O_DSYNC) wait_for_disk();
    return syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return pwrite(fd, data, size, at); }
