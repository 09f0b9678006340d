#!/usr/bin/env node
'use strict';

const { main } = require('../lib/cli/program.js');

// A reader such as `head` may close the pipe early; that is its business.
process.stdout.on('error', (error) => {
  if (error.code !== 'EPIPE') throw error;
});

main(process.argv).then((exitCode) => {
  // Not process.exit(): what was printed into a pipe may still be on its way.
  process.exitCode = exitCode;
});
