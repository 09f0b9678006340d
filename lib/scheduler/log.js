'use strict';

// Lines for a log file: when, how grave, what. Without colours, because PM2 writes them to files.

const { logTo } = require('../callbacks.js');

const LABELS = { info: 'INFO', warn: 'WARN', error: 'ERROR' };

/** A logger whose lines begin with the time. */
function timedLog(out = console) {
  const say = (level) => (message, fields) =>
    out[level](`${new Date().toISOString()} ${LABELS[level]} ${message}${details(fields)}`);
  return { info: say('info'), warn: say('warn'), error: say('error'), debug() {} };
}

function details(fields = {}) {
  const told = Object.entries(fields).filter(([, value]) => value !== undefined);
  const pairs = told.map(([name, value]) => `${name}: ${asText(value)}`);
  return pairs.length === 0 ? '' : ` (${pairs.join(', ')})`;
}

function asText(value) {
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** An application's logger: it may lack methods, and what it throws changes nothing. */
function safeLog(log) {
  const say = logTo(log);
  const levels = ['info', 'warn', 'error', 'debug'];
  return Object.fromEntries(levels.map((level) => [level, (...line) => say(level, ...line)]));
}

module.exports = { safeLog, timedLog };
