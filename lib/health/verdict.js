'use strict';

// What a check comes to, and the words that the reasons share.

const RANKS = ['ok', 'warning', 'critical'];
/** Longest quotation of somebody else's words in a reason. */
const QUOTED = 200;

const as = (verdict) => (name, reason, value) => ({ name, verdict, reason, value });
const rank = ({ verdict }) => RANKS.indexOf(verdict);
const worst = (checks) => checks.reduce((known, next) => (rank(next) > rank(known) ? next : known));

const secondsSince = (date, now) => Math.max(0, Math.round((now - new Date(date)) / 1000));

/** Somebody else's words, as one sentence of bounded length. */
function sentence(text) {
  const short = text.length > QUOTED ? `${text.slice(0, QUOTED - 1)}…` : text;
  return /[.!?…]$/.test(short) ? short : `${short}.`;
}

module.exports = {
  ok: as('ok'),
  warning: as('warning'),
  critical: as('critical'),
  worst,
  secondsSince,
  sentence,
};
