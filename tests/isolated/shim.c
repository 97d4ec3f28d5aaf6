/* Stands between a process and the system (LD_PRELOAD): records what is written to the cache's data file, and fails,
   kills or stops the process at a call that was chosen. Unarmed, it only passes calls on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { DATA_WRITE = 1, META_WRITE = 2, SYNC = 4, EXTEND = 8, GET = 16, RENEW = 32, ALLOCATE = 64, MAP = 128 };
enum { FAIL = 1, SHORT, KILL_BEFORE, KILL_AFTER, STOP_BEFORE, STOP_AFTER };
enum { LOG_WRITE = 1, LOG_SYNC, LOG_EXTEND, LOG_MARK, LOG_DURABLE_WRITE };

static int action, calls, error_number;
static long nth, seen, fired;
static int log_fd = -1;

void fault_arm(int new_action, int new_calls, long new_nth, int new_error) {
    action = new_action, calls = new_calls, nth = new_nth, error_number = new_error;
    seen = fired = 0;
}
long fault_seen(void) { return seen; }
long fault_fired(void) { return fired; }

/* --- which calls are meant --- */

static int is_data_file(int fd) {
    char link[64], path[512];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof(path) - 1);
    if (size < 0) return 0;
    path[size] = 0;
    const char *name = strrchr(path, '/');
    return name && strncmp(name, "/tokens", 7) == 0 && !strstr(name, "-lock") && !strstr(name, ".gate");
}

static int kind_of_write(int fd) { return fcntl(fd, F_GETFL) & O_DSYNC ? META_WRITE : DATA_WRITE; }

static struct { uintptr_t start, end; } ranges[16];
static int range_count;
static void *lmdb;

static int look_at(struct dl_phdr_info *info, size_t size, void *unused) {
    (void)size, (void)unused;
    if (!strstr(info->dlpi_name, "lmdb.so") && !strstr(info->dlpi_name, "_engine.")) return 0;
    if (strstr(info->dlpi_name, "lmdb.so") && !lmdb) lmdb = dlopen(info->dlpi_name, RTLD_NOLOAD | RTLD_LAZY);
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD && range_count < 16) {
            ranges[range_count].start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
            ranges[range_count].end = ranges[range_count].start + info->dlpi_phdr[i].p_memsz;
            range_count++;
        }
    return 0;
}

/* Which allocations count: those that the engine and liblmdb make, once both are loaded. */
int fault_find_libraries(void) {
    range_count = 0;
    dl_iterate_phdr(look_at, NULL);
    return range_count;
}

static int is_ours(void *caller) {
    for (int i = 0; i < range_count; i++)
        if ((uintptr_t)caller >= ranges[i].start && (uintptr_t)caller < ranges[i].end) return 1;
    return 0;
}

/* Returns the action to take at this call, or 0. */
static int due(int kind) {
    if (!(calls & kind) || !action || ++seen != nth) return 0;
    fired++;
    if (action == KILL_BEFORE) kill(getpid(), SIGKILL);
    if (action == STOP_BEFORE) kill(getpid(), SIGSTOP);
    return action;
}

static void after(int what) {
    if (what == KILL_AFTER) kill(getpid(), SIGKILL);
    if (what == STOP_AFTER) kill(getpid(), SIGSTOP);
}

/* --- the log --- */

static void note(uint64_t kind, uint64_t offset, const void *data, uint64_t size) {
    if (log_fd < 0) return;
    uint64_t head[3] = {kind, offset, size};
    syscall(SYS_write, log_fd, head, sizeof(head));
    if (data && size) syscall(SYS_write, log_fd, data, size);
}

void fault_record(const char *path) { log_fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600); }
void fault_mark(uint64_t number) { note(LOG_MARK, number, NULL, 0); }

static uint64_t kind_of_log(int fd) { return kind_of_write(fd) == META_WRITE ? LOG_DURABLE_WRITE : LOG_WRITE; }

/* --- writes, syncs, growth --- */

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) {
    int what = is_data_file(fd) ? due(kind_of_write(fd)) : 0;
    if (what == FAIL) return errno = error_number, -1;
    if (what == SHORT) size /= 2;
    ssize_t done = syscall(SYS_pwrite64, fd, data, size, offset);
    if (done > 0 && is_data_file(fd)) note(kind_of_log(fd), offset, data, done);
    after(what);
    return done;
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return pwrite(fd, data, size, offset); }

static ssize_t gather(int fd, const struct iovec *parts, int count, off_t offset, int moves) {
    int what = is_data_file(fd) ? due(kind_of_write(fd)) : 0;
    if (what == FAIL) return errno = error_number, -1;
    size_t size = 0, at = 0;
    for (int i = 0; i < count; i++) size += parts[i].iov_len;
    char *all = mmap(NULL, size + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < count; at += parts[i++].iov_len) memcpy(all + at, parts[i].iov_base, parts[i].iov_len);
    ssize_t done = syscall(SYS_pwrite64, fd, all, what == SHORT ? size / 2 : size, offset);
    if (done > 0 && moves) lseek(fd, offset + done, SEEK_SET);
    if (done > 0 && is_data_file(fd)) note(kind_of_log(fd), offset, all, done);
    munmap(all, size + 1);
    after(what);
    return done;
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!is_data_file(fd)) return syscall(SYS_writev, fd, parts, count);
    return gather(fd, parts, count, lseek(fd, 0, SEEK_CUR), 1);
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return gather(fd, parts, count, offset, 0); }

static int sync_with(long call, int fd) {
    int ours = is_data_file(fd), what = ours ? due(SYNC) : 0;
    if (what == FAIL || what == SHORT) return errno = error_number, -1;
    int rc = syscall(call, fd);
    if (rc == 0 && ours) note(LOG_SYNC, 0, NULL, 0);
    after(what);
    return rc;
}
int fdatasync(int fd) { return sync_with(SYS_fdatasync, fd); }
int fsync(int fd) { return sync_with(SYS_fsync, fd); }

int fallocate(int fd, int mode, off_t from, off_t size) {
    int ours = is_data_file(fd), what = ours ? due(EXTEND) : 0;
    if (what == FAIL || what == SHORT) return errno = error_number, -1;
    int rc = syscall(SYS_fallocate, fd, mode, from, size);
    if (rc == 0 && ours) note(LOG_EXTEND, from + size, NULL, 0);
    after(what);
    return rc;
}
int fallocate64(int fd, int mode, off64_t from, off64_t size) { return fallocate(fd, mode, from, size); }

void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) {
    int what = fd >= 0 && is_data_file(fd) ? due(MAP) : 0;
    if (what == FAIL || what == SHORT) return errno = error_number, MAP_FAILED;
    void *found = (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
    after(what);
    return found;
}
void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, size, protection, flags, fd, offset);
}

/* --- liblmdb's own entry points: the engine calls them through here, liblmdb itself does not --- */

static void *in_lmdb(const char *name) {
    if (!lmdb) fault_find_libraries();
    return lmdb ? dlsym(lmdb, name) : NULL;
}

int mdb_get(void *txn, unsigned db, void *key, void *value) {
    static int (*real)(void *, unsigned, void *, void *);
    if (!real) real = in_lmdb("mdb_get");
    int what = due(GET);
    int rc = what == FAIL ? error_number : real(txn, db, key, value);
    after(what);
    return rc;
}

int mdb_txn_renew(void *txn) {
    static int (*real)(void *);
    if (!real) real = in_lmdb("mdb_txn_renew");
    int what = due(RENEW);
    int rc = what == FAIL ? error_number : real(txn);
    after(what);
    return rc;
}

/* --- memory --- */

#ifdef __GLIBC__
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);

static int is_denied(void *caller) {
    if (!(calls & ALLOCATE) || !is_ours(caller) || due(ALLOCATE) != FAIL) return 0;
    errno = ENOMEM;
    return 1;
}
void *malloc(size_t size) { return is_denied(__builtin_return_address(0)) ? NULL : __libc_malloc(size); }
void *calloc(size_t count, size_t size) {
    return is_denied(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}
void *realloc(void *old, size_t size) { return is_denied(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size); }
#endif
