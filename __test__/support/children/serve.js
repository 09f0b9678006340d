'use strict';

/** Answers the requests of the test that started this process, and ends with it. */
function serve(methods) {
  process.on('message', async ({ id, method, args }) => {
    let answer;
    try {
      answer = { id, value: await methods[method](...args) };
    } catch (error) {
      answer = { id, error: { code: error.code, message: error.message } };
    }
    if (process.connected) process.send(answer);
  });
  process.on('disconnect', () => process.exit(0));
}

module.exports = { serve };
