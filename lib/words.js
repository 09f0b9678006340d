'use strict';

// Numbers and times in words.

const UNITS = ['kB', 'MB', 'GB', 'TB', 'PB'];
const AGES = [
  ['s', 60],
  ['min', 60],
  ['h', 24],
  ['d', 365],
  ['y', Infinity],
];

/** Bytes in decimal units with three digits: `58.3 MB`. */
function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  let value = bytes;
  let unit = -1;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toPrecision(3)} ${UNITS[unit]}`;
}

/** How long ago: `3 h`. */
function age(date, now = Date.now()) {
  return span(now - date.getTime());
}

/** A span of time, roughly: `3 h`. */
function span(milliseconds) {
  let value = Math.max(0, milliseconds / 1000);
  for (const [unit, limit] of AGES) {
    if (value < limit) return `${Math.floor(value)} ${unit}`;
    value /= limit;
  }
  return '';
}

/** Local time to the minute: `2026-01-02 03:04`. */
function time(date) {
  const two = (number) => String(number).padStart(2, '0');
  const day = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join('-');
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}`;
}

function duration(milliseconds) {
  return milliseconds < 1000 ? `${milliseconds} ms` : `${(milliseconds / 1000).toFixed(1)} s`;
}

/** `1 run`, `2 runs`. */
function count(number, noun, plural = `${noun}s`) {
  return `${number} ${number === 1 ? noun : plural}`;
}

module.exports = { size, age, span, time, duration, count };
