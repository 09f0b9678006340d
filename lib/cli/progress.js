'use strict';

const { SingleBar } = require('cli-progress');
const { size } = require('./format.js');

/** A bar on a terminal; one line per phase elsewhere. */
class ProgressReport {
  #stream;
  #bar = null;
  #phase = null;

  constructor(stream) {
    this.#stream = stream;
  }

  update({ phase, done, total, unit }) {
    if (phase !== this.#phase) {
      this.end();
      this.#phase = phase;
      this.#begin(phase, total, unit);
    }
    this.#bar?.setTotal(total);
    this.#bar?.update(done);
  }

  /** A line of text that does not tear the bar. */
  say(line) {
    if (this.#bar) {
      this.#stream.write('\r\x1b[K');
    }
    this.#stream.write(`${line}\n`);
  }

  end() {
    this.#bar?.stop();
    this.#bar = null;
    this.#phase = null;
  }

  #begin(phase, total, unit) {
    if (!this.#stream.isTTY) {
      this.#stream.write(`${phase} (${amount(total, unit)})\n`);
      return;
    }
    this.#bar = new SingleBar({
      stream: this.#stream,
      format: `${phase.padEnd(12)} [{bar}] {percentage}% of {amount}`,
      barsize: 32,
      hideCursor: true,
      clearOnComplete: true,
      // The session turns SIGINT into an abort; the bar must not end the process first.
      gracefulExit: false,
      formatValue: (value) => String(value),
    });
    this.#bar.start(total, 0, { amount: amount(total, unit) });
  }
}

function amount(total, unit) {
  return unit === 'bytes' ? size(total) : `${total.toLocaleString('en')} ${unit}`;
}

module.exports = { ProgressReport };
