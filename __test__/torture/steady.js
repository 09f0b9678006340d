'use strict';

/** A text without what differs from run to run, so that what is alike can be counted. */
function steady(text) {
  return text
    .replace(/[0-9a-f]{8}-[0-9a-f-]{27}/g, '<uuid>')
    .replace(/\d{4}-\d\d-\d\dT[\d.:Z-]+/g, '<time>')
    .replace(/(\.tmp|\.snapshot-writer-)\w+/g, '$1*')
    .replace(/#\d+ \(deleted\)/g, '(no name)');
}

module.exports = { steady };
