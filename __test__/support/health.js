'use strict';

// Status and metrics as tests look at them.

/** `{ 'name{labels}': value }` of every sample in the text of the metrics. */
function samplesOf(text) {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return Object.fromEntries(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

/** The samples of a writer's metrics. */
async function samples(writer) {
  return samplesOf(await writer.metrics());
}

/** `{ name: verdict }` of a writer's status. */
async function verdicts(writer) {
  const { checks } = await writer.status();
  return Object.fromEntries(checks.map(({ name, verdict }) => [name, verdict]));
}

module.exports = { samplesOf, samples, verdicts };
