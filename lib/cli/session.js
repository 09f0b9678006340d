'use strict';

// One run of one command: the writer, where output goes, what Ctrl-C does, the exit code.

const { SnapshotWriter } = require('../snapshot-writer.js');
const { Declined, confirm } = require('./confirm.js');
const exitCodes = require('./exit-codes.js');
const { ProgressReport } = require('./progress.js');

/** Runs `action(session)`; resolves with the exit code and never rejects. */
async function runCommand(options, action) {
  const interruption = new AbortController();
  const progress = new ProgressReport(process.stderr);
  const interrupt = () => interruption.abort(new Error('interrupted'));
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    const session = makeSession(options, interruption.signal, progress);
    return (await action(session)) ?? exitCodes.OK;
  } catch (error) {
    progress.end();
    printError(options, error);
    return exitCodeOf(error);
  } finally {
    progress.end();
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}

function makeSession(options, signal, progress) {
  const log = stderrLog(progress);
  const writer = new SnapshotWriter({
    databaseUrl: options.databaseUrl,
    snapshotDir: options.snapshotDir,
    signal,
    onProgress: (step) => progress.update(step),
    log,
  });
  return {
    writer,
    options,
    signal,
    log,
    /** `compose` makes up the question, and is only called when somebody can be asked. */
    confirm: async (compose) => (options.yes ? undefined : confirm(compose)),
    /** With --json the value itself, else the lines made of it; both on standard output. */
    print(value, describe) {
      progress.end();
      process.stdout.write(options.json ? `${JSON.stringify(value, null, 2)}\n` : `${describe(value)}\n`);
    },
  };
}

/** Log lines go to standard error, whatever --json says; details are for applications. */
function stderrLog(progress) {
  const said = new Set();
  const say = (label) => (message) => {
    const line = `${label}${message}`;
    // A command that looks at the same thing twice says it once.
    if (!said.has(line)) progress.say(line);
    said.add(line);
  };
  return { error: say('error: '), warn: say('warning: '), info: say(''), debug: () => {} };
}

/** The code is what docs/errors.md can be searched for. */
function printError(options, { code = 'INTERNAL', message, cause }) {
  const causes = causesOf(cause).filter((text) => !message.includes(text));
  if (options.json) {
    const error = { code, message, ...(causes.length > 0 && { causes }) };
    process.stdout.write(`${JSON.stringify({ error }, null, 2)}\n`);
  } else {
    const lines = [message, ...causes.map((text) => `cause: ${text}`), `code: ${code}`];
    process.stderr.write(`${lines.join('\n')}\n`);
  }
}

/** The messages of the inner errors, outermost first. */
function causesOf(error) {
  return error instanceof Error ? [error.message, ...causesOf(error.cause)] : [];
}

function exitCodeOf(error) {
  if (error instanceof Declined) return error.exitCode;
  if (error.code === 'ABORTED') return exitCodes.INTERRUPTED;
  return exitCodes.FAILED;
}

module.exports = { runCommand, printError };
