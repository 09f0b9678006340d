'use strict';

// A Node.js whose wall clock is off: its worker believes in another day.

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');

const SHIM = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int status = real(clock, at);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) at->tv_sec += atol(getenv("CLOCK_SHIFT"));
  return status;
}
time_t time(time_t *out) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  if (out) *out = at.tv_sec;
  return at.tv_sec;
}
int gettimeofday(struct timeval *out, void *zone) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  out->tv_sec = at.tv_sec;
  out->tv_usec = at.tv_nsec / 1000;
  return 0;
}`;

/** Compiles the shim into `folder`; returns what gives a program for a shift in seconds. */
function shiftedNode(folder) {
  const library = path.join(folder, 'clock.so');
  fs.writeFileSync(`${library}.c`, SHIM);
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, `${library}.c`, '-ldl']);
  return (seconds) => {
    if (seconds === 0) return process.execPath;
    const program = path.join(folder, `node${seconds}`);
    const script = `#!/bin/sh\nCLOCK_SHIFT=${seconds} LD_PRELOAD='${library}' exec '${process.execPath}' "$@"\n`;
    if (!fs.existsSync(program)) fs.writeFileSync(program, script, { mode: 0o755 });
    return program;
  };
}

module.exports = { shiftedNode };
