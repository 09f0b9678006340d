'use strict';

// Tells a monitor such as healthchecks.io how a run ended: its silence is the alarm.

const { callSafely } = require('../callbacks.js');

const LIMIT_MS = 10_000;

/**
 * Asks for `url` after a success, for `url` + `/fail` after a failure (`outcome`: 'success' or
 * 'failure'). Never rejects and changes no outcome: what goes wrong is a warning. The URL is a secret,
 * since whoever knows it can silence the alarm: neither log nor error repeats it.
 */
async function heartbeat(url, outcome, log) {
  if (!url?.trim()) return;
  try {
    const response = await fetch(addressOf(url.trim(), outcome), { signal: AbortSignal.timeout(LIMIT_MS) });
    await response.body?.cancel();
    if (!response.ok) warn(log, `the server answered ${response.status}`);
  } catch (error) {
    warn(log, reasonOf(error));
  }
}

function addressOf(text, outcome) {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!/^https?:$/.test(url?.protocol) || url.username !== '' || url.password !== '') {
    throw Object.assign(new Error(), {
      reason: 'it must be an http or https URL without user name and password',
    });
  }
  if (outcome === 'failure') url.pathname = `${url.pathname.replace(/\/$/, '')}/fail`;
  return url;
}

/** Messages of `fetch` may repeat the address; codes do not. */
function reasonOf(error) {
  if (error.reason) return error.reason;
  if (error.name === 'TimeoutError') return `no answer within ${LIMIT_MS / 1000} s`;
  return error.cause?.code ?? error.code ?? error.name;
}

function warn(log, reason) {
  callSafely(() => log?.warn?.(`The heartbeat could not be sent to SNAPSHOT_HEARTBEAT_URL: ${reason}`));
}

module.exports = { heartbeat };
