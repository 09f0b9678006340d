'use strict';

// Runs what docs/runbook.md tells an operator to type. `node __test__/support/runbook.js --update`
// writes the real output into the document; the test compares it.

const { spawn } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const { makeFolder, removeFolder } = require('./folders.js');
const { SITUATIONS } = require('./runbook-situations.js');
const { CREDENTIALS, REGION } = require('./s3-client.js');
const { startProxy } = require('./s3-proxy.js');
const { startWeed } = require('./s3-servers.js');

const ROOT = path.join(__dirname, '..', '..');
const RUNBOOK = path.join(ROOT, 'docs', 'runbook.md');
const FENCED = /^```(\w*)\n([\s\S]*?)^```$/gm;

/** What the reader sees in place of this machine's folder, server and bucket. */
const SHOWN = { folder: '/srv/app', endpoint: 'https://s3.example.com', bucket: 'app-backups' };

const ID = /[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g;

/** What differs from run to run. The document says so of itself. */
const VARYING = [
  [/\d{4}-\d\d-\d\dT\d\d[:-]\d\d[:-]\d\d[.-]\d+Z/g, '<instant>'],
  [/\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?/g, '<time>'],
  [/Node\.js \d+\.\d+\.\d+/g, 'Node.js <version>'],
  [/user \d+ \(mode \d+\)/g, '<owner>'],
  [ID, '<id>'],
  [/\b[0-9a-f]{64}\b/g, '<hash>'],
  [/\b[\d.,]+ (B|kB|MB|GB|TB|PB|bytes)(?!\w)/g, '<size>'],
  [/\b[\d.,]+ (ms|s|min|h|d|y)(?!\w)/g, '<duration>'],
  [/\b\d+ runs of/g, '<runs> of'],
  // The network and the system say it in words of their own.
  [/^cause: dispatch failure: .*$/gm, 'cause: <network>'],
  [/instead of \d+/g, 'instead of <size>'],
  // Columns are as wide as what is in them.
  [/ +/g, ' '],
];

/** The sections of a document: `{ title, steps: [{ command, output }] }`. */
function sectionsOf(text) {
  return text
    .split(/^## /m)
    .slice(1)
    .map((section) => ({ title: section.slice(0, section.indexOf('\n')), steps: stepsOf(section) }));
}

function stepsOf(section) {
  return [...section.matchAll(FENCED)].map(([, language, body]) => {
    const [first, ...rest] = body.split('\n');
    if (language !== 'console' || !first.startsWith('$ ') || rest.some((line) => line.startsWith('$ '))) {
      throw new Error(`not one command in a console block:\n${body}`);
    }
    return { command: first.slice(2), output: rest.join('\n').trimEnd() };
  });
}

function masked(output) {
  return VARYING.reduce((text, [pattern, word]) => text.replace(pattern, word), output);
}

/** An application's folder with its environment, and a bucket behind a network that can be cut. */
async function makePlace(server) {
  const folder = makeFolder();
  const bucket = server.bucket(`runbook-${randomUUID()}`);
  await server.makeBucket(bucket.name);
  const proxy = await startProxy(server.endpoint);
  install(folder);
  const env = {
    PATH: process.env.PATH,
    // Nothing from the home folder of whoever runs the tests.
    HOME: folder,
    npm_config_update_notifier: 'false',
    LC_ALL: 'C.UTF-8',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
    AWS_REGION: REGION,
    AWS_ENDPOINT_URL: proxy.endpoint,
    DATABASE_URL: 'file:./prisma/dev.db',
    SNAPSHOT_DIR: './backups',
    S3_BUCKET: bucket.name,
  };
  const deferred = [];
  const place = {
    folder,
    bucket,
    proxy,
    env,
    database: path.join(folder, 'prisma', 'dev.db'),
    snapshotDir: path.join(folder, 'backups'),
    /** What the shell prints, both streams in one. */
    type: (command) => type(command, folder, env),
    show: (text) =>
      text
        .replaceAll(folder, SHOWN.folder)
        .replaceAll(proxy.endpoint, SHOWN.endpoint)
        .replaceAll(bucket.name, SHOWN.bucket),
    /** What has to be undone before the folder goes. */
    defer: (undo) => deferred.push(undo),
    async end() {
      deferred.forEach((undo) => undo());
      await proxy.stop();
      removeFolder(folder);
    },
  };
  return place;
}

/** As `npm install` would have put the package there. */
function install(folder) {
  const modules = path.join(folder, 'node_modules');
  fs.mkdirSync(path.join(modules, '.bin'), { recursive: true });
  fs.mkdirSync(path.join(folder, 'prisma'));
  fs.writeFileSync(path.join(folder, 'package.json'), '{ "name": "app", "private": true }\n');
  fs.symlinkSync(ROOT, path.join(modules, 'snapshot-writer'));
  fs.symlinkSync('../snapshot-writer/bin/snapshot-writer.cjs', path.join(modules, '.bin', 'snapshot-writer'));
}

function type(command, cwd, env) {
  return new Promise((resolve, reject) => {
    const shell = spawn('sh', ['-c', `exec 2>&1; ${command}`], {
      cwd,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let output = '';
    shell.stdout.setEncoding('utf8').on('data', (text) => (output += text));
    shell.once('error', reject);
    shell.once('close', () => resolve(output.trimEnd()));
  });
}

/**
 * Brings the situation about and runs the section's commands; resolves with what each printed. An id in
 * a command stands for the one that was printed last: the operator copies it from there.
 */
async function play({ title, steps }, server) {
  const situation = SITUATIONS[title];
  if (!situation) throw new Error(`nobody knows how to bring about "${title}"`);
  const meanwhile = { ...situation.before };
  const place = await makePlace(server);
  try {
    await situation.prepare(place);
    const played = [];
    let lastId;
    for (const step of steps) {
      await meanwhile[step.command]?.(place);
      delete meanwhile[step.command];
      const command = step.command.replace(ID, (id) => lastId ?? id);
      const output = place.show(await place.type(command));
      lastId = output.match(ID)?.at(-1) ?? lastId;
      played.push({ command, output });
    }
    const unused = Object.keys(meanwhile);
    if (unused.length > 0) throw new Error(`"${title}" does not have the commands ${unused.join(', ')}`);
    await situation.check(place);
    return played;
  } finally {
    await place.end();
  }
}

/** The document with the real output of every command. */
async function updated(text) {
  const server = await startWeed();
  try {
    const played = [];
    for (const section of sectionsOf(text)) played.push(...(await play(section, server)));
    return text.replace(FENCED, () => {
      const { command, output } = played.shift();
      return ['```console', `$ ${command}`, ...(output ? [output] : []), '```'].join('\n');
    });
  } finally {
    await server.stop();
  }
}

async function main() {
  if (process.argv[2] !== '--update') throw new Error('usage: node runbook.js --update');
  fs.writeFileSync(RUNBOOK, await updated(fs.readFileSync(RUNBOOK, 'utf8')));
}

if (require.main === module) {
  main().catch((error) => {
    console.error(error);
    process.exitCode = 1;
  });
}

module.exports = { ID, RUNBOOK, sectionsOf, masked, play };
