/* The set: every system call of the worker that reads or writes files, and where it says which file.
 * A call that this architecture does not have is left out. */

#ifndef CALLS_H
#define CALLS_H

#include <sys/syscall.h>

/* What a call is, beside a call that can fail with EIO and be a place to die. */
enum {
  WRITES = 1,      /* Writes bytes: may be cut short. */
  NEEDS_SPACE = 2, /* Fails on a full disk. */
  CREATES = 4,     /* Needs space if it makes the file. */
  GROWS = 8,       /* Needs space if the file becomes longer. */
  LOCKS = 16,      /* Counts only if it takes, asks for or gives back a lock. */
};

/* A file is named by a descriptor, by a path, or by a path below a folder's descriptor. */
struct place {
  signed char folder, path; /* Numbers of arguments; NONE where there is no such argument. */
};

enum { NONE = -1 };

struct call {
  int number;
  const char *name;
  struct place place, other;
  int traits;
};

#define NOWHERE { NONE, NONE }
#define BY_FD(name, traits) { SYS_##name, #name, { 0, NONE }, NOWHERE, traits }
#define BY_PATH(name, traits) { SYS_##name, #name, { NONE, 0 }, NOWHERE, traits }
#define BY_FOLDER(name, traits) { SYS_##name, #name, { 0, 1 }, NOWHERE, traits }

static const struct call CALLS[] = {
  /* Opening and closing in on a file. */
  BY_FOLDER(openat, CREATES),
  BY_FOLDER(newfstatat, 0),
  BY_FOLDER(statx, 0),
  BY_FOLDER(faccessat, 0),
  BY_FOLDER(readlinkat, 0),
  BY_FD(fstat, 0),
  BY_FD(fstatfs, 0),
  BY_PATH(statfs, 0),
  BY_FD(getdents64, 0),
  { SYS_mmap, "mmap", { 4, NONE }, NOWHERE, 0 },
#ifdef SYS_faccessat2
  BY_FOLDER(faccessat2, 0),
#endif

  /* Content. */
  BY_FD(read, 0),
  BY_FD(pread64, 0),
  BY_FD(readv, 0),
  BY_FD(preadv, 0),
  BY_FD(preadv2, 0),
  BY_FD(write, WRITES | NEEDS_SPACE),
  BY_FD(pwrite64, WRITES | NEEDS_SPACE),
  BY_FD(writev, WRITES | NEEDS_SPACE),
  BY_FD(pwritev, WRITES | NEEDS_SPACE),
  BY_FD(pwritev2, NEEDS_SPACE),
  { SYS_copy_file_range, "copy_file_range", { 0, NONE }, { 2, NONE }, NEEDS_SPACE },
  { SYS_sendfile, "sendfile", { 0, NONE }, { 1, NONE }, NEEDS_SPACE },
  BY_FD(ftruncate, GROWS),
  BY_PATH(truncate, 0),
  BY_FD(fallocate, NEEDS_SPACE),
  BY_FD(fsync, 0),
  BY_FD(fdatasync, 0),
  BY_FD(sync_file_range, 0),
  BY_FD(syncfs, 0),

  /* Names. A folder may need one more block for a new name. */
  { SYS_renameat2, "renameat2", { 0, 1 }, { 2, 3 }, NEEDS_SPACE },
  { SYS_linkat, "linkat", { 0, 1 }, { 2, 3 }, NEEDS_SPACE },
  { SYS_symlinkat, "symlinkat", { 1, 2 }, NOWHERE, NEEDS_SPACE },
  BY_FOLDER(mkdirat, NEEDS_SPACE),
  BY_FOLDER(unlinkat, 0),
#ifdef SYS_renameat
  { SYS_renameat, "renameat", { 0, 1 }, { 2, 3 }, NEEDS_SPACE },
#endif

  /* Owner, mode, dates, locks. */
  BY_FD(fchmod, 0),
  BY_FOLDER(fchmodat, 0),
  BY_FD(fchown, 0),
  BY_FOLDER(fchownat, 0),
  BY_FOLDER(utimensat, 0),
  BY_FD(flock, 0),
  BY_FD(fcntl, LOCKS),

  /* The same by older names, which newer architectures do not have. */
#ifdef SYS_open
  BY_PATH(open, CREATES),
  BY_PATH(creat, CREATES),
  BY_PATH(stat, 0),
  BY_PATH(lstat, 0),
  BY_PATH(access, 0),
  BY_PATH(readlink, 0),
  BY_FD(getdents, 0),
  { SYS_rename, "rename", { NONE, 0 }, { NONE, 1 }, NEEDS_SPACE },
  { SYS_link, "link", { NONE, 0 }, { NONE, 1 }, NEEDS_SPACE },
  { SYS_symlink, "symlink", { NONE, 1 }, NOWHERE, NEEDS_SPACE },
  BY_PATH(mkdir, NEEDS_SPACE),
  BY_PATH(rmdir, 0),
  BY_PATH(unlink, 0),
  BY_PATH(chmod, 0),
  BY_PATH(chown, 0),
  BY_PATH(lchown, 0),
  BY_PATH(utimes, 0),
#endif
};

enum { CALL_COUNT = sizeof CALLS / sizeof CALLS[0] };

static inline const struct call *call_of(int number) {
  for (int index = 0; index < CALL_COUNT; index++)
    if (CALLS[index].number == number) return &CALLS[index];
  return 0;
}

#endif
