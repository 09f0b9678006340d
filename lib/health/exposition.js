'use strict';

// Prometheus's text format, version 0.0.4. By hand: prom-client counts inside a process and cannot be
// handed counts and buckets that are known already, while ours come out of a file.

/**
 * `families`: `{ name, type, help, samples }`, each sample `{ value, labels?, suffix? }`. What has no
 * value (`null` or `undefined`) is left out, and so is a family that is left without samples.
 */
function exposition(families) {
  return families.map(family).filter(Boolean).join('');
}

function family({ name, type, help, samples }) {
  const known = samples.filter(({ value }) => value !== null && value !== undefined);
  if (known.length === 0) return '';
  return [
    `# HELP ${name} ${escape(help)}`,
    `# TYPE ${name} ${type}`,
    ...known.map(
      ({ value, labels = {}, suffix = '' }) => `${name}${suffix}${braces(labels)} ${number(value)}`,
    ),
    '',
  ].join('\n');
}

function braces(labels) {
  const pairs = Object.entries(labels).map(
    ([name, value]) => `${name}="${escape(value).replaceAll('"', '\\"')}"`,
  );
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

const escape = (text) => text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');

function number(value) {
  if (value === Infinity) return '+Inf';
  return String(Number(value));
}

module.exports = { exposition };
