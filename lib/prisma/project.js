'use strict';

// Where a project has its Prisma schema and its migrations, by Prisma's own rules: the option, the
// configuration file, package.json, the default places.

const fs = require('node:fs');
const path = require('node:path');
const { SnapshotError } = require('../errors.js');
const { blocksOf } = require('./schema-text.js');

const EXTENSIONS = ['js', 'ts', 'mjs', 'cjs', 'mts', 'cts'];
const CONFIGS = [
  'prisma7.config',
  '.config/prisma7',
  'prisma.config',
  '.config/prisma',
  '.config/prisma.config',
].flatMap((base) => EXTENSIONS.map((extension) => `${base}.${extension}`));
const DEFAULTS = ['schema.prisma', 'prisma/schema.prisma'];

/** What `findProject` reads out of a configuration file: a literal, or `path.join` of literals. */
const LITERAL = String.raw`(['"\`])([^'"\`$]+)\1`;
const JOINED = String.raw`(?:path\.)?join\(\s*((?:(['"])[^'"]*\4\s*,?\s*)+)\)`;
const value = (key) => new RegExp(String.raw`\b${key}\s*:\s*(?:${LITERAL}|${JOINED})`);

/**
 * @param {{ schema?: string, migrations?: string }} options as typed
 * @returns the schema's files with their text, the one a model goes into, the folder of migrations
 */
function findProject({ schema, migrations }) {
  const config = readConfig();
  const schemaPath =
    schema === undefined ? configuredSchema(config) : existing(path.resolve(schema), '--schema');
  const isFolder = fs.statSync(schemaPath).isDirectory();
  const files = (isFolder ? schemaFiles(schemaPath) : [schemaPath]).map((file) => ({
    file,
    text: fs.readFileSync(file, 'utf8'),
  }));
  const root = isFolder ? schemaPath : path.dirname(schemaPath);
  return {
    schemaPath,
    files,
    // A file of its own in a folder, so that no text of the application's has to be touched.
    modelFile: isFolder ? path.join(schemaPath, 'snapshot.prisma') : schemaPath,
    migrationsPath:
      migrations === undefined
        ? (configuredMigrations(config) ?? path.join(root, 'migrations'))
        : path.resolve(migrations),
    provider: providerOf(files),
    prismaMajor: prismaMajor(root),
  };
}

function readConfig() {
  const file = CONFIGS.map((name) => path.resolve(name)).find((name) => fs.existsSync(name));
  if (file === undefined) return undefined;
  const text = fs.readFileSync(file, 'utf8').replace(/^\s*\/\/.*$|\/\*[\s\S]*?\*\//gm, '');
  return { file, text };
}

function configuredSchema(config) {
  const named = config && configuredPath(config, config.text, 'schema', '--schema');
  if (named !== undefined) return existing(named, path.basename(config.file));
  const inPackage = packageSchema();
  if (inPackage !== undefined) return existing(path.resolve(inPackage), 'package.json');
  const found = DEFAULTS.map((name) => path.resolve(name)).find((name) => fs.existsSync(name));
  if (found !== undefined) return found;
  throw failure(
    `no Prisma schema was found (looked for ${DEFAULTS.join(' and ')}); run this in the folder of the project, or name it with --schema`,
  );
}

function configuredMigrations(config) {
  const section = config && /\bmigrations\s*:\s*\{([^}]*)\}/.exec(config.text)?.[1];
  return section ? configuredPath(config, section, 'path', '--migrations') : undefined;
}

/** The path under a key of the configuration; what is more than a string cannot be known without running it. */
function configuredPath(config, text, key, option) {
  const match = value(key).exec(text);
  if (match) {
    const parts =
      match[2] === undefined
        ? [...match[3].matchAll(/(['"])(.*?)\1/g)].map(([, , part]) => part)
        : [match[2]];
    return path.resolve(path.dirname(config.file), ...parts);
  }
  if (new RegExp(String.raw`\b${key}\s*(?:[:,}]|$)`).test(text)) {
    throw failure(`"${key}" in ${path.basename(config.file)} is not a plain string; name it with ${option}`);
  }
  return undefined;
}

function packageSchema() {
  try {
    return JSON.parse(fs.readFileSync('package.json', 'utf8')).prisma?.schema;
  } catch {
    // No package.json, or none that says anything.
    return undefined;
  }
}

function existing(file, said) {
  if (fs.existsSync(file)) return fs.realpathSync(file);
  throw failure(`${said} names ${file}, which does not exist`);
}

function schemaFiles(folder) {
  return fs
    .readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.prisma'))
    .map((entry) => path.join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

/** The provider of the datasource; undefined when there is none to be found. */
function providerOf(files) {
  const sources = files
    .flatMap(({ text }) => blocksOf(text))
    .filter(({ keyword }) => keyword === 'datasource');
  const lines = sources.flatMap(({ statements }) => statements);
  return lines.map((line) => /^provider\s*=\s*"([^"]*)"/.exec(line)?.[1]).find(Boolean);
}

/** Of the Prisma that the project has installed; the newest one when there is none yet. */
function prismaMajor(root) {
  for (let folder = root; ; folder = path.dirname(folder)) {
    const manifest = path.join(folder, 'node_modules', 'prisma', 'package.json');
    if (fs.existsSync(manifest))
      return Number.parseInt(JSON.parse(fs.readFileSync(manifest, 'utf8')).version, 10);
    if (folder === path.dirname(folder)) return 7;
  }
}

const failure = (message) => new SnapshotError('PRISMA_PROJECT', message);

module.exports = { findProject };
