/* Preloaded into a script: lets writes of LMDB's meta pages fail, keeps mappings from following the file, and so on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

int fault_meta_writes; /* how many of the next ones fail */
int fault_meta_errno = EIO;
int fault_freeze_mapping;    /* our two meta pages are a copy */
int fault_freeze_info;       /* mdb_env_info stays at the first transaction */
int fault_panic;             /* no transaction of LMDB begins */
unsigned fault_file_system;  /* the magic number of every file system */
int fault_meta_seen;

/* The part of a meta page that a commit writes, in LMDB 0.9 on 64-bit machines. */
static int is_meta(size_t size, off_t at) { return size == 120 && (at & 4095) == 32 && at < 2 * 65536; }

static ssize_t write_at(int fd, const void *data, size_t size, off_t at) {
    if (is_meta(size, at)) {
        fault_meta_seen++;
        if (fault_meta_writes > 0) {
            fault_meta_writes--;
            errno = fault_meta_errno;
            return -1;
        }
    }
    return syscall(SYS_pwrite64, fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return write_at(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return write_at(fd, data, size, at); }

static void *map(void *at, size_t size, int prot, int flags, int fd, off_t from) {
    if (fault_freeze_mapping && prot == PROT_READ && flags == MAP_SHARED && from == 0 && size <= 2 * 65536) {
        char *copy = (char *)syscall(SYS_mmap, at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (copy != MAP_FAILED && pread(fd, copy, size, 0) == (ssize_t)size) return copy;
    }
    return (void *)syscall(SYS_mmap, at, size, prot, flags, fd, from);
}

void *mmap(void *at, size_t size, int prot, int flags, int fd, off_t from) {
    return map(at, size, prot, flags, fd, from);
}
void *mmap64(void *at, size_t size, int prot, int flags, int fd, off_t from) {
    return map(at, size, prot, flags, fd, from);
}

/* The library that the engine was linked with; it is not in the global scope, where RTLD_NEXT would look. */
static int find_lmdb(struct dl_phdr_info *found, size_t size, void *handle) {
    (void)size;
    if (!found->dlpi_name || !strstr(found->dlpi_name, "liblmdb")) return 0;
    *(void **)handle = dlopen(found->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    return 1;
}

static void *of_lmdb(const char *name) {
    static void *lmdb;
    if (!lmdb) dl_iterate_phdr(find_lmdb, &lmdb);
    return dlsym(lmdb, name);
}

/* Of lmdb.h (0.9). */
struct info { void *address; size_t map_size, last_page, last_txnid; unsigned max_readers, readers; };
enum { MDB_PANIC = -30795 };

int mdb_env_info(void *env, struct info *info) {
    static int (*real)(void *, struct info *);
    if (!real) real = (int (*)(void *, struct info *))of_lmdb("mdb_env_info");
    int rc = real(env, info);
    if (rc == 0 && fault_freeze_info) info->last_txnid = 1;
    return rc;
}

int mdb_txn_begin(void *env, void *parent, unsigned flags, void **txn) {
    static int (*real)(void *, void *, unsigned, void **);
    if (!real) real = (int (*)(void *, void *, unsigned, void **))of_lmdb("mdb_txn_begin");
    return fault_panic ? MDB_PANIC : real(env, parent, flags, txn);
}

int mdb_txn_renew(void *txn) {
    static int (*real)(void *);
    if (!real) real = (int (*)(void *))of_lmdb("mdb_txn_renew");
    return fault_panic ? MDB_PANIC : real(txn);
}

int statfs(const char *path, struct statfs *found) {
    static int (*real)(const char *, struct statfs *);
    if (!real) real = (int (*)(const char *, struct statfs *))dlsym(RTLD_NEXT, "statfs");
    int rc = real(path, found);
    if (rc == 0 && fault_file_system) found->f_type = fault_file_system;
    return rc;
}

/* What statfs is called with large files; the structures are the same on 64-bit machines. */
int statfs_large(const char *path, struct statfs *found) __asm__("statfs64");
int statfs_large(const char *path, struct statfs *found) { return statfs(path, found); }
