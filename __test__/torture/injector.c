/* Runs a program and stands between it and the kernel: one of its system calls on files below a folder
 * fails, is cut short, or is the last thing it does. Calls are counted as they arrive, over all threads.
 *
 *   injector REPORT FOLDER FAULT N PROGRAM ARGUMENT...
 *
 * FAULT is one of
 *   eio      the Nth call fails with EIO, once
 *   enospc   the Nth call that needs space fails with ENOSPC, and all that come after it
 *   short    the Nth write of more than a byte writes half of what it was given
 *   kill     the program is killed before its Nth call is carried out
 *   none     nothing happens; REPORT lists every call. An N of 0 never comes: the calls are only counted
 *
 * REPORT gets a line "call NUMBER NAME PATH" for what was faulted, and "counted NUMBER" at the end. The
 * kernel hands the calls over by seccomp user notification, so libc, Rust's raw calls and SQLite are alike. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "calls.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

enum fault { FAULT_EIO, FAULT_ENOSPC, FAULT_SHORT, FAULT_KILL, FAULT_NONE };
static const char *const FAULTS[] = { "eio", "enospc", "short", "kill", "none" };

static enum fault fault;
static long wanted, counted;
static const char *folder;
static FILE *report;
static pid_t program;
static int program_fd;

static void die(const char *what) {
  fprintf(stderr, "injector: %s: %s\n", what, strerror(errno));
  exit(125);
}

/* ---- In the program's process ---- */

/* Hands every call of the set over, except mappings that are of no file. */
static int install_filter(void) {
  struct sock_filter filter[CALL_COUNT + 8];
  int at = 0;
#define OFFSET(field) (uint32_t) offsetof(struct seccomp_data, field)
  filter[at++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(arch));
  filter[at++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 0, CALL_COUNT + 4);
  filter[at++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(nr));
  filter[at++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_mmap, 0, 2);
  filter[at++] = (struct sock_filter) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, OFFSET(args[4]));
  filter[at++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, UINT32_MAX, CALL_COUNT, CALL_COUNT + 1);
  for (int index = 0; index < CALL_COUNT; index++)
    filter[at++] = (struct sock_filter) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t) CALLS[index].number,
                                                 (uint8_t) (CALL_COUNT - index), 0);
  filter[at++] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  filter[at++] = (struct sock_filter) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF);
  struct sock_fprog code = { .len = (unsigned short) at, .filter = filter };
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) die("no_new_privs");
  /* A signal must not make the kernel repeat a call that was counted already. */
  unsigned flags = SECCOMP_FILTER_FLAG_NEW_LISTENER | SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
  return (int) syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &code);
}

union descriptor_message {
  struct cmsghdr header;
  char space[CMSG_SPACE(sizeof(int))];
};

static void send_descriptor(int channel, int descriptor) {
  union descriptor_message control = { 0 };
  struct iovec body = { .iov_base = (char[]) { 0 }, .iov_len = 1 };
  struct msghdr message = {
    .msg_iov = &body, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  memcpy(CMSG_DATA(&control.header), &descriptor, sizeof descriptor);
  if (sendmsg(channel, &message, 0) < 0) die("cannot hand over the listener");
}

static int receive_descriptor(int channel) {
  union descriptor_message control = { 0 };
  char byte;
  struct iovec body = { .iov_base = &byte, .iov_len = 1 };
  struct msghdr message = {
    .msg_iov = &body, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  int descriptor = -1;
  if (recvmsg(channel, &message, MSG_CMSG_CLOEXEC) > 0 && message.msg_controllen > 0)
    memcpy(&descriptor, CMSG_DATA(&control.header), sizeof descriptor);
  return descriptor;
}

static void become_program(int channel, char **arguments) {
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  int listener = install_filter();
  if (listener < 0) die("seccomp user notification is not permitted here");
  send_descriptor(channel, listener);
  execv(arguments[0], arguments);
  die(arguments[0]);
}

/* ---- Looking into the program ---- */

static long read_memory(pid_t task, uint64_t from, void *to, size_t length) {
  struct iovec here = { to, length };
  /* Up to the end of a page, then on: what lies behind may not be there. */
  size_t first = 4096 - from % 4096;
  if (first > length) first = length;
  struct iovec there[2] = { { (void *) (uintptr_t) from, first },
                            { (void *) (uintptr_t) (from + first), length - first } };
  return process_vm_readv(task, &here, 1, there, first < length ? 2 : 1, 0);
}

static void link_of(pid_t task, int descriptor, char *path) {
  char link[64];
  if (descriptor == AT_FDCWD) snprintf(link, sizeof link, "/proc/%d/cwd", task);
  else snprintf(link, sizeof link, "/proc/%d/fd/%d", task, descriptor);
  ssize_t length = readlink(link, path, PATH_MAX - 1);
  path[length > 0 ? length : 0] = 0;
}

/* The path that a place of a call means; empty where it means none. */
static void path_of(const struct seccomp_notif *notified, struct place place, char *path) {
  const __u64 *arguments = notified->data.args;
  char name[PATH_MAX] = "";
  path[0] = 0;
  if (place.path != NONE) {
    long length = read_memory((pid_t) notified->pid, arguments[(int) place.path], name, sizeof name - 1);
    name[length > 0 ? length : 0] = 0;
  } else if (place.folder == NONE) {
    return;
  }
  if (name[0] == '/') {
    strcpy(path, name);
    return;
  }
  link_of((pid_t) notified->pid, place.folder == NONE ? AT_FDCWD : (int) arguments[(int) place.folder], path);
  size_t length = strlen(path);
  if (name[0]) snprintf(path + length, PATH_MAX - length, "/%s", name);
}

static int is_below(const char *path) {
  size_t length = strlen(folder);
  return strncmp(path, folder, length) == 0 && (path[length] == '/' || path[length] == 0);
}

/* ---- The faults ---- */

static int creates(const struct call *call, const __u64 *arguments, const char *path) {
  if (call->place.folder == NONE && strcmp(call->name, "creat") == 0) return access(path, F_OK) != 0;
  int flags = (int) arguments[call->place.path + 1];
  if ((flags & O_TMPFILE) == O_TMPFILE) return 1;
  return (flags & O_CREAT) && access(path, F_OK) != 0;
}

static int grows(pid_t task, const __u64 *arguments) {
  char file[64];
  struct stat now;
  snprintf(file, sizeof file, "/proc/%d/fd/%d", task, (int) arguments[0]);
  return stat(file, &now) == 0 && (off_t) arguments[1] > now.st_size;
}

/* Whether a call is one of those that the fault can hit. */
static int is_meant(const struct call *call, const struct seccomp_notif *notified, const char *path) {
  const __u64 *arguments = notified->data.args;
  if (call->traits & LOCKS) {
    int command = (int) arguments[1];
    if (command != F_SETLK && command != F_SETLKW && command != F_GETLK && command != F_OFD_SETLK &&
        command != F_OFD_SETLKW && command != F_OFD_GETLK)
      return 0;
  }
  if (fault == FAULT_SHORT) return (call->traits & WRITES) && (arguments[2] > 1);
  if (fault != FAULT_ENOSPC) return 1;
  if (call->traits & CREATES) return creates(call, arguments, path);
  if (call->traits & GROWS) return grows((pid_t) notified->pid, arguments);
  return call->traits & NEEDS_SPACE;
}

/* Carries out half of a write in the program's place. */
static long write_half(const struct call *call, const struct seccomp_notif *notified) {
  const __u64 *arguments = notified->data.args;
  struct iovec piece = { (void *) (uintptr_t) arguments[1], arguments[2] };
  if (strstr(call->name, "writev"))
    read_memory((pid_t) notified->pid, arguments[1], &piece, sizeof piece);
  size_t half = piece.iov_len / 2;
  char *bytes = malloc(half + 1);
  struct iovec here = { bytes, half }, there = { piece.iov_base, half };
  long length = process_vm_readv((pid_t) notified->pid, &here, 1, &there, 1, 0);
  int file = (int) syscall(SYS_pidfd_getfd, program_fd, (int) arguments[0], 0);
  if (length < 0 || file < 0) die("cannot write for the program");
  long written = call->name[0] == 'p' ? pwrite(file, bytes, (size_t) length, (off_t) arguments[3])
                                      : write(file, bytes, (size_t) length);
  long outcome = written < 0 ? -errno : written;
  close(file);
  free(bytes);
  return outcome;
}

static void answer(const struct call *call, const struct seccomp_notif *notified, struct seccomp_notif_resp *response) {
  char path[PATH_MAX], other[PATH_MAX];
  response->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
  path_of(notified, call->place, path);
  path_of(notified, call->other, other);
  if ((!is_below(path) && !is_below(other)) || !is_meant(call, notified, path)) return;
  counted++;
  if (fault == FAULT_NONE || counted == wanted) {
    fprintf(report, "call %ld %s %s%s%s\n", counted, call->name, path, other[0] ? " " : "", other);
    fflush(report);
  }
  /* A full disk stays full. */
  int is_hit = fault == FAULT_ENOSPC ? wanted > 0 && counted >= wanted : counted == wanted;
  if (!is_hit) return;
  switch (fault) {
    case FAULT_EIO: response->flags = 0, response->error = -EIO; break;
    case FAULT_ENOSPC: response->flags = 0, response->error = -ENOSPC; break;
    case FAULT_KILL: kill(program, SIGKILL); break;
    case FAULT_SHORT: {
      long outcome = write_half(call, notified);
      response->flags = 0;
      if (outcome < 0) response->error = (int) outcome;
      else response->val = outcome;
      break;
    }
    case FAULT_NONE: break;
  }
}

static void supervise(int listener) {
  struct pollfd sources[] = { { listener, POLLIN, 0 }, { program_fd, POLLIN, 0 } };
  for (;;) {
    if (poll(sources, 2, -1) < 0) continue;
    if (sources[1].revents) return;
    struct seccomp_notif notified = { 0 };
    struct seccomp_notif_resp response = { 0 };
    /* Both fail when the caller has died meanwhile. */
    if (!(sources[0].revents & POLLIN) || ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &notified)) continue;
    response.id = notified.id;
    answer(call_of(notified.data.nr), &notified, &response);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &response);
  }
}

int main(int count, char **arguments) {
  if (count < 6) return fprintf(stderr, "usage: injector REPORT FOLDER FAULT N PROGRAM ARGUMENT...\n"), 125;
  report = fopen(arguments[1], "we");
  if (!report) die(arguments[1]);
  folder = arguments[2];
  for (fault = 0; fault < FAULT_NONE && strcmp(arguments[3], FAULTS[fault]); fault++) {}
  wanted = atol(arguments[4]);
  int channel[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel)) die("socketpair");
  program = fork();
  if (program < 0) die("fork");
  if (program == 0) become_program(channel[1], arguments + 5);
  close(channel[1]);
  int listener = receive_descriptor(channel[0]);
  program_fd = (int) syscall(SYS_pidfd_open, program, 0);
  if (listener >= 0) supervise(listener);
  int status = 0;
  waitpid(program, &status, 0);
  fprintf(report, "counted %ld\n", counted);
  fclose(report);
  if (WIFSIGNALED(status)) {
    signal(WTERMSIG(status), SIG_DFL);
    kill(getpid(), WTERMSIG(status));
  }
  return WEXITSTATUS(status);
}
