'use strict';

module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/__test__'],
  // The drop-in tests run under Jest because the application's do; the others under Node's own runner.
  testMatch: ['**/__test__/drop-in.test.js', '**/__test__/facade/**/*.test.js'],
  // Each operation starts a process; a busy machine needs more than Jest's five seconds.
  testTimeout: 60_000,
  maxWorkers: 2,
};
