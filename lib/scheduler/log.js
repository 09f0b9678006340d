'use strict';

// Lines for a log file: when, how grave, what. Without colours, because PM2 writes them to files.

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

module.exports = { timedLog };
