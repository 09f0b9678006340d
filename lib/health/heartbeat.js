'use strict';

// Tells a monitor such as healthchecks.io how a run ended: its silence is the alarm.

const { callSafely } = require('../callbacks.js');

const LIMIT_MS = 10_000;
/** For a monitor that whoever stops the scheduler would have to wait for. */
const HURRY_MS = 1_000;

/**
 * Asks for `url` after a success, for `url` + `/fail` after a failure (`outcome`: 'success' or
 * 'failure'). Never rejects and changes no outcome: what goes wrong is a warning. The URL is a secret,
 * since whoever knows it can silence the alarm: neither log nor error repeats it.
 *
 * Once `stop` (an AbortSignal) is aborted, it gives up soon.
 */
async function heartbeat(url, outcome, log, stop) {
  if (!url?.trim()) return;
  const patience = beginToWait(stop);
  try {
    const response = await fetch(addressOf(url.trim(), outcome), { signal: patience.signal });
    await response.body?.cancel();
    if (!response.ok) warn(log, `the server answered ${response.status}`);
  } catch (error) {
    warn(log, reasonOf(error));
  } finally {
    patience.end();
  }
}

function beginToWait(stop) {
  const controller = new AbortController();
  const giveUpAfter = (ms) => {
    const late = Object.assign(new Error(), { reason: `no answer within ${ms / 1000} s` });
    AbortSignal.timeout(ms).addEventListener('abort', () => controller.abort(late));
  };
  const hurry = () => giveUpAfter(HURRY_MS);
  giveUpAfter(stop?.aborted ? HURRY_MS : LIMIT_MS);
  stop?.addEventListener('abort', hurry);
  return { signal: controller.signal, end: () => stop?.removeEventListener('abort', hurry) };
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
  return error.cause?.code ?? error.code ?? error.name;
}

function warn(log, reason) {
  callSafely(() => log?.warn?.(`The heartbeat could not be sent to SNAPSHOT_HEARTBEAT_URL: ${reason}`));
}

module.exports = { heartbeat };
