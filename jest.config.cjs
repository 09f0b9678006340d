'use strict';

module.exports = {
  testEnvironment: 'node',
  // The other folders hold tests of Node's own runner: they start and kill real processes.
  testMatch: ['<rootDir>/__test__/*.test.js', '<rootDir>/__test__/facade/*.test.js'],
  // Each operation starts a process; a busy machine needs more than Jest's five seconds.
  testTimeout: 60_000,
  maxWorkers: 2,
};
