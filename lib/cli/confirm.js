'use strict';

const readline = require('node:readline');
const exitCodes = require('./exit-codes.js');

/** Nobody agreed: declined, interrupted, or there is nobody to ask. */
class Declined extends Error {
  constructor(code, message, exitCode) {
    super(message);
    this.code = code;
    this.exitCode = exitCode;
  }
}

/** Asks what `compose` makes up; returns when the answer is yes and throws Declined otherwise. */
async function confirm(compose) {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Declined(
      'CONFIRMATION_REQUIRED',
      'This changes data and nobody can be asked: standard input is no terminal. Add --yes to go ahead.',
      exitCodes.USAGE,
    );
  }
  const answer = await ask(`${await compose()} [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) {
    throw new Declined('DECLINED', 'Nothing was changed.', exitCodes.INTERRUPTED);
  }
}

function ask(prompt) {
  // Standard error, so that --json leaves standard output to the machine.
  const dialogue = readline.createInterface({ input: process.stdin, output: process.stderr });
  return new Promise((resolve) => {
    // Ctrl-C and the end of input mean no.
    dialogue.once('SIGINT', () => dialogue.close());
    dialogue.once('close', () => resolve(''));
    dialogue.question(prompt, (answer) => {
      resolve(answer);
      dialogue.close();
    });
  });
}

module.exports = { confirm, Declined };
