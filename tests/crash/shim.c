/* Stands between a program and the C library's file calls (LD_PRELOAD). Two uses, both by environment:
 *
 *   STAMPMILL_SHIM_ROOT   the folder whose files matter; nothing else is looked at
 *   STAMPMILL_SHIM_LOG    every change below it, and every fsync, is appended to this file in the order in which they
 *                         happened over all processes: each call is made and recorded under one lock
 *   STAMPMILL_SHIM_FAIL   a file of failpoints, one a line: "PROCESS CALL PATTERN COUNT before|after kill|ERRNO".
 *                         One after the other, each fires once in all processes together, whatever is restarted in
 *                         between; that it has is a file beside the list, .fired-<line>.
 *
 * A record: see `struct head`; names and data follow. tests/crash/shim.py reads it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { WRITE = 1, FSYNC, DIRSYNC, RENAME, LINK, UNLINK, MKDIR, RMDIR, CREATE, TRUNCATE, SYMLINK, SEND, NOTE };
static const char *const op_names[] = {"", "write", "fsync", "dirsync", "rename", "link", "unlink",
                                       "mkdir", "rmdir", "create", "truncate", "symlink", "send", "note"};

struct head {
    uint32_t op, name1, name2, pad; /* lengths of the names */
    uint64_t inode, parent1, parent2, offset, length;
};

static char root[PATH_MAX];
static size_t root_length;
static int log_fd = -1;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static char process_name[32];
static __thread int inside;

#define MAX_POINTS 8
static struct point { char process[32], call[16], pattern[256], when[8], action[8]; int count, seen; } points[MAX_POINTS];
static int point_count;
static char points_path[PATH_MAX];

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("STAMPMILL_SHIM_ROOT");
    if (!path) return;
    snprintf(root, sizeof root, "%s", path);
    root_length = strlen(root);
    if ((path = getenv("STAMPMILL_SHIM_LOG"))) {
        int fd = REAL(open64)(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 700); /* out of the way of programs that close what they find */
        close(fd);
    }
    if ((path = getenv("STAMPMILL_SHIM_FAIL"))) {
        snprintf(points_path, sizeof points_path, "%s", path);
        FILE *file = fopen(path, "re");
        struct point *p = points;
        while (file && point_count < MAX_POINTS && fscanf(file, "%31s %15s %255s %d %7s %7s", p->process, p->call,
                                                          p->pattern, &p->count, p->when, p->action) == 6)
            p = &points[++point_count];
        if (file) fclose(file);
    }
}

/* Called by the program itself: which process it is. */
void shim_name(const char *name) { snprintf(process_name, sizeof process_name, "%s", name); }

/* Failpoints */

static int fired(int line, int claim) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%s.fired-%d", points_path, line);
    if (!claim) return access(path, F_OK) == 0;
    int fd = REAL(open64)(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) return 0;
    close(fd);
    return 1;
}

static int error_of(const char *action) { return strcmp(action, "EIO") ? ENOSPC : EIO; }

/* Whether the call is to fail; it doesn't return where the process is to die. */
static int failpoint(enum op op, const char *path, const char *when) {
    for (int line = 0; line < point_count; line++) {
        struct point *p = &points[line];
        if (strcmp(p->call, op_names[op]) || strcmp(p->when, when) || strcmp(p->process, process_name)) continue;
        if (fnmatch(p->pattern, path, 0) || fired(line, 0) || (line && !fired(line - 1, 0))) continue;
        if (++p->seen < p->count || !fired(line, 1)) continue;
        if (!strcmp(p->action, "kill")) {
            kill(getpid(), SIGKILL);
            for (;;) pause();
        }
        errno = error_of(p->action);
        return 1;
    }
    return 0;
}

/* Paths */

static int below(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static const char *relative(const char *path) { return path[root_length] ? path + root_length + 1 : "."; }

/* The full path of NAME in FOLDER, its folder's links resolved but not its own; 0 where that isn't below the root. */
static int full_path(int folder, const char *name, char *out) {
    char joined[2 * PATH_MAX], parent[PATH_MAX], link[64];
    if (name[0] == '/') snprintf(joined, sizeof joined, "%s", name);
    else if (folder == AT_FDCWD) {
        if (!getcwd(parent, sizeof parent)) return 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, name);
    } else {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t length = readlink(link, parent, sizeof parent - 1);
        if (length < 0) return 0;
        parent[length] = 0;
        snprintf(joined, sizeof joined, "%s/%s", parent, name);
    }
    char *slash = strrchr(joined, '/');
    while (slash > joined && !slash[1]) { *slash = 0; slash = strrchr(joined, '/'); }
    if (slash == joined) return 0;
    *slash = 0;
    if (!realpath(joined, parent)) return 0;
    snprintf(out, PATH_MAX, "%s/%s", parent, slash + 1);
    return below(out);
}

static int fd_path(int fd, char *out) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, out, PATH_MAX - 1);
    if (length < 0) return 0;
    out[length] = 0;
    return below(out);
}

static uint64_t inode_of(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

static uint64_t parent_of(const char *path) {
    char parent[PATH_MAX];
    snprintf(parent, sizeof parent, "%s", path);
    *strrchr(parent, '/') = 0;
    return inode_of(parent);
}

static const char *last_of(const char *path) { return strrchr(path, '/') + 1; }

/* Recording */

static void lock(int type) {
    if (type == F_WRLCK) pthread_mutex_lock(&mutex);
    if (log_fd >= 0) {
        struct flock region = {.l_type = type, .l_whence = SEEK_SET};
        while (fcntl(log_fd, F_OFD_SETLKW, &region) && errno == EINTR) {}
    }
    if (type == F_UNLCK) pthread_mutex_unlock(&mutex);
}

static void record(enum op op, uint64_t inode, const char *one, const char *two, uint64_t offset, const void *data,
                   size_t length) {
    if (log_fd < 0) return;
    struct head head = {.op = op, .inode = inode, .offset = offset, .length = length};
    if (one) { head.name1 = strlen(last_of(one)); head.parent1 = parent_of(one); }
    if (two) { head.name2 = strlen(last_of(two)); head.parent2 = parent_of(two); }
    struct iovec parts[] = {{&head, sizeof head},
                            {one ? (void *)last_of(one) : "", head.name1},
                            {two ? (void *)last_of(two) : "", head.name2},
                            {(void *)data, data ? length : 0}};
    int saved = errno;
    size_t total = sizeof head + head.name1 + head.name2 + (data ? length : 0);
    if ((size_t)REAL(writev)(log_fd, parts, 4) != total) abort();
    errno = saved;
}

void shim_note(const char *text) {
    if (log_fd < 0) return;
    lock(F_WRLCK);
    record(NOTE, 0, NULL, NULL, 0, text, strlen(text));
    lock(F_UNLCK);
}

#define ACTIVE (root_length && !inside)

/* Makes CALL (an expression) with failpoints around it; RECORD is done after it went well. FAILED is its failure. */
#define GUARDED(op, path, FAILED, CALL, RECORD)                        \
    do {                                                               \
        inside = 1;                                                    \
        if (failpoint(op, relative(path), "before")) { inside = 0; return FAILED; } \
        lock(F_WRLCK);                                                 \
        __auto_type result = (CALL);                                   \
        if (result != FAILED) { RECORD; }                              \
        lock(F_UNLCK);                                                 \
        int saved_errno = errno;                                       \
        if (result != FAILED && failpoint(op, relative(path), "after")) { inside = 0; return FAILED; } \
        errno = saved_errno;                                           \
        inside = 0;                                                    \
        return result;                                                 \
    } while (0)

/* Data */

static uint64_t position(int fd, ssize_t written) { return (uint64_t)(lseek64(fd, 0, SEEK_CUR) - written); }

static uint64_t inode_of_fd(int fd) {
    struct stat status;
    return fstat(fd, &status) ? 0 : status.st_ino;
}

static int is_ours(int fd, char *path) {
    struct stat status;
    return fd != log_fd && !fstat(fd, &status) && S_ISREG(status.st_mode) && fd_path(fd, path);
}

ssize_t write(int fd, const void *data, size_t size) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(fd, path)) return REAL(write)(fd, data, size);
    GUARDED(WRITE, path, -1, REAL(write)(fd, data, size),
            record(WRITE, inode_of_fd(fd), NULL, NULL, position(fd, result), data, result));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(fd, path)) return REAL(pwrite64)(fd, data, size, offset);
    GUARDED(WRITE, path, -1, REAL(pwrite64)(fd, data, size, offset),
            record(WRITE, inode_of_fd(fd), NULL, NULL, offset, data, result));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return pwrite64(fd, data, size, offset); }

static void record_vector(int fd, const struct iovec *parts, int count, uint64_t offset, size_t written) {
    uint64_t inode = inode_of_fd(fd);
    for (int i = 0; i < count && written; i++) {
        size_t size = parts[i].iov_len < written ? parts[i].iov_len : written;
        record(WRITE, inode, NULL, NULL, offset, parts[i].iov_base, size);
        offset += size;
        written -= size;
    }
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(fd, path)) return REAL(writev)(fd, parts, count);
    GUARDED(WRITE, path, -1, REAL(writev)(fd, parts, count),
            record_vector(fd, parts, count, position(fd, result), result));
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(fd, path)) return REAL(pwritev64)(fd, parts, count, offset);
    GUARDED(WRITE, path, -1, REAL(pwritev64)(fd, parts, count, offset),
            record_vector(fd, parts, count, offset, result));
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev64(fd, parts, count, offset); }

static void record_copied(int fd, uint64_t offset, size_t size) {
    char *data = malloc(size + 1);
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = REAL(open64)(link, O_RDONLY | O_CLOEXEC);
    if (again < 0 || pread64(again, data, size, offset) != (ssize_t)size) abort();
    close(again);
    record(WRITE, inode_of_fd(fd), NULL, NULL, offset, data, size);
    free(data);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out, off64_t *out_offset, size_t size, unsigned flags) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(out, path)) return REAL(copy_file_range)(in, in_offset, out, out_offset, size, flags);
    GUARDED(WRITE, path, -1, REAL(copy_file_range)(in, in_offset, out, out_offset, size, flags),
            if (result > 0) record_copied(out, out_offset ? (uint64_t)(*out_offset - result) : position(out, result), result));
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t size) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(out, path)) return REAL(sendfile64)(out, in, offset, size);
    GUARDED(WRITE, path, -1, REAL(sendfile64)(out, in, offset, size),
            if (result > 0) record_copied(out, position(out, result), result));
}

ssize_t sendfile(int out, int in, off_t *offset, size_t size) { return sendfile64(out, in, (off64_t *)offset, size); }

int ftruncate64(int fd, off64_t size) {
    char path[PATH_MAX];
    if (!ACTIVE || !is_ours(fd, path)) return REAL(ftruncate64)(fd, size);
    GUARDED(TRUNCATE, path, -1, REAL(ftruncate64)(fd, size),
            record(TRUNCATE, inode_of_fd(fd), NULL, NULL, size, NULL, 0));
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int sync_of(int fd, int (*call)(int)) {
    char path[PATH_MAX];
    struct stat status;
    if (!ACTIVE || fd == log_fd || fstat(fd, &status) || !fd_path(fd, path)) return call(fd);
    enum op op = S_ISDIR(status.st_mode) ? DIRSYNC : FSYNC;
    GUARDED(op, path, -1, call(fd), record(op, status.st_ino, NULL, NULL, 0, NULL, 0));
}

int fsync(int fd) { return sync_of(fd, REAL(fsync)); }
int fdatasync(int fd) { return sync_of(fd, REAL(fdatasync)); }

/* Names */

static int open_at(int folder, const char *name, int flags, mode_t mode) {
    char path[PATH_MAX];
    int writes = (flags & (O_CREAT | O_TRUNC)) && (flags & O_TMPFILE) != O_TMPFILE;
    if (!ACTIVE || !writes || !full_path(folder, name, path)) return REAL(openat64)(folder, name, flags, mode);
    uint64_t before = inode_of(path);
    enum op op = before ? TRUNCATE : CREATE;
    if (before && !(flags & O_TRUNC)) return REAL(openat64)(folder, name, flags, mode);
    GUARDED(op, path, -1, REAL(openat64)(folder, name, flags, mode),
            if (before) record(TRUNCATE, before, NULL, NULL, 0, NULL, 0);
            else record(CREATE, inode_of(path), path, NULL, 0, NULL, 0));
}

#define MODE(flags) ({ mode_t mode = 0; if ((flags) & (O_CREAT | O_TMPFILE)) { va_list args; va_start(args, flags); \
                       mode = va_arg(args, mode_t); va_end(args); } mode; })

int open(const char *name, int flags, ...) { return open_at(AT_FDCWD, name, flags, MODE(flags)); }
int open64(const char *name, int flags, ...) { return open_at(AT_FDCWD, name, flags, MODE(flags)); }
int openat(int folder, const char *name, int flags, ...) { return open_at(folder, name, flags, MODE(flags)); }
int openat64(int folder, const char *name, int flags, ...) { return open_at(folder, name, flags, MODE(flags)); }
int creat(const char *name, mode_t mode) { return open_at(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int __open_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __open64_2(const char *name, int flags) { return open_at(AT_FDCWD, name, flags, 0); }
int __openat_2(int folder, const char *name, int flags) { return open_at(folder, name, flags, 0); }
int __openat64_2(int folder, const char *name, int flags) { return open_at(folder, name, flags, 0); }

int renameat2(int folder1, const char *name1, int folder2, const char *name2, unsigned flags) {
    char one[PATH_MAX], two[PATH_MAX];
    if (!ACTIVE || !full_path(folder1, name1, one) || !full_path(folder2, name2, two))
        return REAL(renameat2)(folder1, name1, folder2, name2, flags);
    uint64_t inode = inode_of(one);
    GUARDED(RENAME, two, -1, REAL(renameat2)(folder1, name1, folder2, name2, flags),
            record(RENAME, inode, one, two, 0, NULL, 0));
}

int renameat(int folder1, const char *name1, int folder2, const char *name2) {
    return renameat2(folder1, name1, folder2, name2, 0);
}
int rename(const char *name1, const char *name2) { return renameat2(AT_FDCWD, name1, AT_FDCWD, name2, 0); }

int linkat(int folder1, const char *name1, int folder2, const char *name2, int flags) {
    char one[PATH_MAX], two[PATH_MAX];
    if (!ACTIVE || !full_path(folder2, name2, two)) return REAL(linkat)(folder1, name1, folder2, name2, flags);
    if (!full_path(folder1, name1, one)) snprintf(one, sizeof one, "%s", two); /* from outside: its data isn't known */
    uint64_t inode = inode_of(one);
    GUARDED(LINK, two, -1, REAL(linkat)(folder1, name1, folder2, name2, flags),
            record(LINK, inode ? inode : inode_of(two), one, two, 0, NULL, 0));
}

int link(const char *name1, const char *name2) { return linkat(AT_FDCWD, name1, AT_FDCWD, name2, 0); }

int symlinkat(const char *target, int folder, const char *name) {
    char path[PATH_MAX];
    if (!ACTIVE || !full_path(folder, name, path)) return REAL(symlinkat)(target, folder, name);
    GUARDED(SYMLINK, path, -1, REAL(symlinkat)(target, folder, name),
            record(SYMLINK, inode_of(path), path, NULL, 0, target, strlen(target)));
}

int symlink(const char *target, const char *name) { return symlinkat(target, AT_FDCWD, name); }

int unlinkat(int folder, const char *name, int flags) {
    char path[PATH_MAX];
    if (!ACTIVE || !full_path(folder, name, path)) return REAL(unlinkat)(folder, name, flags);
    enum op op = flags & AT_REMOVEDIR ? RMDIR : UNLINK;
    uint64_t inode = inode_of(path);
    GUARDED(op, path, -1, REAL(unlinkat)(folder, name, flags), record(op, inode, path, NULL, 0, NULL, 0));
}

int unlink(const char *name) { return unlinkat(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return unlinkat(AT_FDCWD, name, AT_REMOVEDIR); }
int remove(const char *name) {
    int result = unlink(name);
    return result && errno == EISDIR ? rmdir(name) : result;
}

int mkdirat(int folder, const char *name, mode_t mode) {
    char path[PATH_MAX];
    if (!ACTIVE || !full_path(folder, name, path)) return REAL(mkdirat)(folder, name, mode);
    GUARDED(MKDIR, path, -1, REAL(mkdirat)(folder, name, mode), record(MKDIR, inode_of(path), path, NULL, 0, NULL, 0));
}

int mkdir(const char *name, mode_t mode) { return mkdirat(AT_FDCWD, name, mode); }

/* Messages: a place to die; what the supervisor says is recorded as said before anybody can have heard it */

ssize_t send(int fd, const void *data, size_t size, int flags) {
    if (!ACTIVE) return REAL(send)(fd, data, size, flags);
    if (log_fd >= 0 && !strcmp(process_name, "supervisor")) {
        lock(F_WRLCK);
        record(SEND, 0, NULL, NULL, 0, data, size);
        lock(F_UNLCK);
    }
    if (failpoint(SEND, "", "before")) return -1;
    ssize_t result = REAL(send)(fd, data, size, flags);
    int saved_errno = errno;
    if (result >= 0) failpoint(SEND, "", "after");
    errno = saved_errno;
    return result;
}
