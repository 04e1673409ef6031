/* Loaded with LD_PRELOAD: records what a process does to the files under one folder, and lets the
 * disk be full or read-only at a chosen operation.
 *
 *   FS_FOLDER   absolute path of the folder
 *   FS_LOG      file that gets the records
 *   FS_COUNTER  file of 8 bytes, shared by all processes: operations so far
 *   FS_FLAG     while this file exists, operations that need room fail
 *   FS_FAIL_AT  the operation that makes FS_FLAG; absent: none does
 *   FS_ERRNO    28 (ENOSPC) or 30 (EROFS)
 *
 * A record: op, inode, number (offset or length), two lengths, then two byte strings.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct head {
  char op, pad[7];
  uint64_t inode, number;
  uint32_t first, second;
};

static const char *folder, *flag;
static int log_fd = -1, fail_errno = ENOSPC;
static uint64_t *counter, fail_at;

__attribute__((constructor)) static void begin(void) {
  folder = getenv("FS_FOLDER");
  flag = getenv("FS_FLAG");
  if (!folder) return;
  if (getenv("FS_LOG"))
    log_fd = syscall(SYS_openat, AT_FDCWD, getenv("FS_LOG"),
                     O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (getenv("FS_COUNTER")) {
    int fd = syscall(SYS_openat, AT_FDCWD, getenv("FS_COUNTER"), O_RDWR | O_CLOEXEC, 0600);
    counter = mmap(0, 8, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (counter == MAP_FAILED) counter = 0;
    close(fd);
  }
  if (getenv("FS_FAIL_AT")) fail_at = strtoull(getenv("FS_FAIL_AT"), 0, 10);
  if (getenv("FS_ERRNO")) fail_errno = atoi(getenv("FS_ERRNO"));
}

static int inside(const char *path) {
  size_t n = folder ? strlen(folder) : 0;
  return n && !strncmp(path, folder, n) && (path[n] == '/' || !path[n]);
}

static int full_path(int dir, const char *path, char *out) {
  char link[64], base[PATH_MAX] = "";
  if (!folder || !path) return 0;
  if (*path != '/') {
    if (dir == AT_FDCWD) {
      if (!getcwd(base, sizeof base)) return 0;
    } else {
      snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
      ssize_t n = readlink(link, base, sizeof base - 1);
      if (n < 0) return 0;
      base[n] = 0;
    }
    strncat(base, "/", sizeof base - strlen(base) - 1);
  }
  snprintf(out, PATH_MAX, "%s%s", base, path);
  size_t n = strlen(out);
  while (n > 1 && out[n - 1] == '/') out[--n] = 0;
  return inside(out);
}

static int fd_inside(int fd) {
  char link[64], path[PATH_MAX];
  if (!folder) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t n = readlink(link, path, sizeof path - 1);
  if (n < 0) return 0;
  path[n] = 0;
  return inside(path);
}

static void note(char op, uint64_t inode, uint64_t number, const void *a, size_t an,
                 const void *b, size_t bn) {
  if (log_fd < 0) return;
  int before = errno;
  struct head h = {op, {0}, inode, number, an, bn};
  struct iovec parts[3] = {{&h, sizeof h}, {(void *)a, an}, {(void *)b, bn}};
  if (syscall(SYS_writev, log_fd, parts, 3) < 0) abort();
  errno = before;
}

/* An operation that changes something: counted, and refused while the flag is up. */
static int refused(int needs_room) {
  int before = errno;
  uint64_t n = counter ? __atomic_add_fetch(counter, 1, __ATOMIC_SEQ_CST) : 0;
  if (flag && fail_at && n == fail_at)
    close(syscall(SYS_openat, AT_FDCWD, flag, O_WRONLY | O_CREAT, 0600));
  int no = flag && (needs_room || fail_errno == EROFS) && !access(flag, F_OK);
  errno = no ? fail_errno : before;
  return no;
}

static uint64_t inode_of(int fd) {
  struct stat s;
  return fstat(fd, &s) ? 0 : s.st_ino;
}

static uint64_t inode_at(const char *path) {
  struct stat s;
  return lstat(path, &s) ? 0 : s.st_ino;
}

static int opened(int dir, const char *path, int flags, mode_t mode) {
  char full[PATH_MAX];
  int ours = full_path(dir, path, full);
  int changes = ours && (flags & O_ACCMODE) != O_RDONLY;
  int fresh = changes && (flags & O_CREAT) && !inode_at(full);
  if (changes && refused(fresh)) return -1;
  int fd = syscall(SYS_openat, dir, path, flags, mode);
  if (fd < 0 || !changes) return fd;
  if (fresh) note('c', inode_of(fd), 0, full, strlen(full), 0, 0);
  else if (flags & O_TRUNC) note('t', inode_of(fd), 0, 0, 0, 0, 0);
  return fd;
}

#define MODE \
  mode_t mode = 0; \
  if (flags & (O_CREAT | __O_TMPFILE)) { \
    va_list list; \
    va_start(list, flags); \
    mode = va_arg(list, mode_t); \
    va_end(list); \
  }
int open(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE return opened(AT_FDCWD, path, flags, mode); }
int openat(int d, const char *path, int flags, ...) { MODE return opened(d, path, flags, mode); }
int openat64(int d, const char *path, int flags, ...) { MODE return opened(d, path, flags, mode); }

static ssize_t wrote(int fd, ssize_t n, const void *data, off_t at) {
  if (n > 0) note('w', inode_of(fd), at < 0 ? lseek(fd, 0, SEEK_CUR) - n : at, data, n, 0, 0);
  return n;
}

ssize_t write(int fd, const void *data, size_t n) {
  int ours = fd_inside(fd);
  if (ours && refused(1)) return -1;
  ssize_t done = syscall(SYS_write, fd, data, n);
  return ours ? wrote(fd, done, data, -1) : done;
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
  int ours = fd_inside(fd);
  if (ours && refused(1)) return -1;
  ssize_t done = syscall(SYS_pwrite64, fd, data, n, at);
  return ours ? wrote(fd, done, data, at) : done;
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) { return pwrite(fd, data, n, at); }
ssize_t writev(int fd, const struct iovec *parts, int count) {
  if (!fd_inside(fd)) return syscall(SYS_writev, fd, parts, count);
  ssize_t sum = 0;
  for (int i = 0; i < count; i++) {
    ssize_t n = write(fd, parts[i].iov_base, parts[i].iov_len);
    if (n < 0) return sum ? sum : n;
    sum += n;
  }
  return sum;
}
/* Copies inside the kernel show no bytes: say that they are not there, so that callers write. */
ssize_t sendfile(int out, int in, off_t *at, size_t n) {
  if (fd_inside(out)) { errno = EINVAL; return -1; }
  return syscall(SYS_sendfile, out, in, at, n);
}
ssize_t sendfile64(int out, int in, off64_t *at, size_t n) { return sendfile(out, in, at, n); }
ssize_t copy_file_range(int in, off64_t *a, int out, off64_t *b, size_t n, unsigned f) {
  if (fd_inside(out)) { errno = ENOSYS; return -1; }
  return syscall(SYS_copy_file_range, in, a, out, b, n, f);
}
int ftruncate(int fd, off_t size) {
  int ours = fd_inside(fd);
  if (ours && refused(0)) return -1;
  int done = syscall(SYS_ftruncate, fd, size);
  if (!done && ours) note('t', inode_of(fd), size, 0, 0, 0, 0);
  return done;
}
int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }
int fsync(int fd) {
  int done = syscall(SYS_fsync, fd);
  if (!done && fd_inside(fd)) note('s', inode_of(fd), 0, 0, 0, 0, 0);
  return done;
}
int fdatasync(int fd) {
  int done = syscall(SYS_fdatasync, fd);
  if (!done && fd_inside(fd)) note('s', inode_of(fd), 0, 0, 0, 0, 0);
  return done;
}
int renameat(int d1, const char *from, int d2, const char *to) {
  char a[PATH_MAX], b[PATH_MAX];
  int ours = full_path(d1, from, a) & full_path(d2, to, b);
  if (ours && refused(0)) return -1;
  int done = syscall(SYS_renameat, d1, from, d2, to);
  if (!done && ours) note('r', inode_at(b), 0, a, strlen(a), b, strlen(b));
  return done;
}
int rename(const char *from, const char *to) { return renameat(AT_FDCWD, from, AT_FDCWD, to); }
int unlinkat(int dir, const char *path, int flags) {
  char full[PATH_MAX];
  int ours = full_path(dir, path, full);
  if (ours && refused(0)) return -1;
  int done = syscall(SYS_unlinkat, dir, path, flags);
  if (!done && ours) note('u', 0, 0, full, strlen(full), 0, 0);
  return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }
int mkdirat(int dir, const char *path, mode_t mode) {
  char full[PATH_MAX];
  int ours = full_path(dir, path, full);
  if (ours && refused(1)) return -1;
  int done = syscall(SYS_mkdirat, dir, path, mode);
  if (!done && ours) note('d', inode_at(full), 0, full, strlen(full), 0, 0);
  return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }
int linkat(int d1, const char *from, int d2, const char *to, int flags) {
  char a[PATH_MAX], b[PATH_MAX];
  int ours = full_path(d1, from, a) & full_path(d2, to, b);
  if (ours && refused(1)) return -1;
  int done = syscall(SYS_linkat, d1, from, d2, to, flags);
  if (!done && ours) note('l', inode_at(b), 0, a, strlen(a), b, strlen(b));
  return done;
}
int link(const char *from, const char *to) { return linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }
int symlinkat(const char *target, int dir, const char *path) {
  char full[PATH_MAX];
  int ours = full_path(dir, path, full);
  if (ours && refused(1)) return -1;
  int done = syscall(SYS_symlinkat, target, dir, path);
  if (!done && ours) note('y', inode_at(full), 0, target, strlen(target), full, strlen(full));
  return done;
}
int symlink(const char *target, const char *path) { return symlinkat(target, AT_FDCWD, path); }
