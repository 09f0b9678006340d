'use strict';

// The worker's language: a 32-bit little-endian length and that many bytes of JSON.

const HEADER = 4;
/** Far above what a worker sends; a larger length means that something else wrote to the pipe. */
const LARGEST_FRAME = 64 * 1024 * 1024;

function encodeFrame(message) {
  const body = Buffer.from(JSON.stringify(message), 'utf8');
  const frame = Buffer.allocUnsafe(HEADER + body.length);
  frame.writeUInt32LE(body.length, 0);
  body.copy(frame, HEADER);
  return frame;
}

/** Collects chunks and hands out whole messages. */
class FrameDecoder {
  #chunks = [];
  #buffered = 0;

  /** Returns the messages completed by `chunk`; throws on anything that is not a frame. */
  push(chunk) {
    this.#chunks.push(chunk);
    this.#buffered += chunk.length;
    const messages = [];
    for (let message = this.#next(); message !== undefined; message = this.#next()) {
      messages.push(message);
    }
    return messages;
  }

  #next() {
    if (this.#buffered < HEADER) {
      return undefined;
    }
    const length = this.#joined(HEADER).readUInt32LE(0);
    if (length > LARGEST_FRAME) {
      throw new Error(`a frame of ${length} bytes is too large`);
    }
    if (this.#buffered < HEADER + length) {
      return undefined;
    }
    const all = this.#joined(HEADER + length);
    this.#chunks = [all.subarray(HEADER + length)];
    this.#buffered -= HEADER + length;
    return JSON.parse(all.toString('utf8', HEADER, HEADER + length));
  }

  // Joins only when the first chunk is too short, so that a large frame is copied once.
  #joined(needed) {
    if (this.#chunks[0].length < needed) {
      this.#chunks = [Buffer.concat(this.#chunks)];
    }
    return this.#chunks[0];
  }
}

module.exports = { encodeFrame, FrameDecoder };
