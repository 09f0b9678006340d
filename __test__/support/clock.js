'use strict';

// A clock that is wrong, for the worker alone: a small library that shifts what the system says, preloaded by a script
// that takes the place of Node.js (option `nodePath`).

const { execFileSync } = require('node:child_process');
const fs = require('node:fs');

const SHIM = `
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) {
  const char *seconds = getenv("CLOCK_SHIFT");
  return seconds ? atol(seconds) : 0;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*next)(clockid_t, struct timespec *);
  if (!next) next = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int result = next(clock, time);
  if (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE) time->tv_sec += shift();
  return result;
}

int gettimeofday(struct timeval *time, void *zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  time->tv_sec = now.tv_sec;
  time->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *seconds) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (seconds) *seconds = now.tv_sec;
  return now.tv_sec;
}
`;

const MINUTE = 60;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** Why the clock cannot be shifted here; false where it can. */
const cannotShift = process.platform !== 'linux' && 'the clock is shifted by way of LD_PRELOAD';

/** Options for a worker whose clock is wrong: `shifted(rig)(-2 * DAY)`. */
function shifted(rig) {
  const library = rig.path('clock.so');
  fs.writeFileSync(rig.path('clock.c'), SHIM);
  execFileSync('cc', ['-shared', '-fPIC', '-o', library, rig.path('clock.c'), '-ldl']);
  return (seconds) => {
    const nodePath = rig.path(`node-at${seconds}.sh`);
    const script = `#!/bin/sh\nCLOCK_SHIFT=${seconds} LD_PRELOAD=${library} exec ${process.execPath} "$@"\n`;
    fs.writeFileSync(nodePath, script, { mode: 0o755 });
    return { nodePath };
  };
}

module.exports = { shifted, cannotShift, MINUTE, HOUR, DAY };
