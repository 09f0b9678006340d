/* Makes fsync and fdatasync of the file or folder FAILING_SYNC fail with EIO while the file FAILING_SYNC_WHEN
   exists and FAILING_SYNC_WITHOUT does not. Without FAILING_SYNC_LASTS that file goes with the first failure. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int fd) {
  const char *name = getenv("FAILING_SYNC"), *when = getenv("FAILING_SYNC_WHEN");
  const char *without = getenv("FAILING_SYNC_WITHOUT");
  char link[64], path[4096];
  if (!name || !when || access(when, F_OK) != 0) return 0;
  if (without && access(without, F_OK) == 0) return 0;
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length < 0) return 0;
  path[length] = 0;
  if (strcmp(path, name) != 0) return 0;
  if (!getenv("FAILING_SYNC_LASTS")) unlink(when);
  return 1;
}

#define WRAP(function)                                                        \
  int function(int fd) {                                                      \
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, #function);             \
    if (fails(fd)) { errno = EIO; return -1; }                                \
    return real(fd);                                                          \
  }
WRAP(fsync)
WRAP(fdatasync)
