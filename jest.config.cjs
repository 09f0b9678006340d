'use strict';

module.exports = {
  testEnvironment: 'node',
  roots: ['<rootDir>/__test__'],
  testMatch: ['**/*.test.js'],
  // Each operation starts a process; a busy machine needs more than Jest's five seconds.
  testTimeout: 60_000,
  maxWorkers: 2,
};
