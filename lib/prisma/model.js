'use strict';

// The `Snapshot` model: whether a schema has it, and in what it differs from ours.

const fs = require('node:fs');
const path = require('node:path');
const { blocksOf, fieldOf, stringArgument } = require('./schema-text.js');

const TABLE = 'Snapshot';
const MODEL_TEXT = fs.readFileSync(path.join(__dirname, '..', '..', 'prisma', 'snapshot.prisma'), 'utf8');
const OURS = blocksOf(MODEL_TEXT)[0];

/** `size` may be wider than `Int`: the table holds an integer all the same. */
const TYPES_OF_SIZE = ['Int', 'BigInt', 'Float'];

/**
 * What the schema says of the table:
 * `{ state: 'missing' }`, `{ state: 'present', sizeType }` or `{ state: 'different', where, diff }`.
 */
function findModel(files) {
  const found = files.flatMap(({ file, text }) =>
    blocksOf(text)
      .filter(({ keyword, name, statements }) => {
        const hasTable = keyword === 'model' && stringArgument(statements, '@@map') === TABLE;
        return hasTable || (name === TABLE && ['model', 'view', 'type', 'enum'].includes(keyword));
      })
      .map((block) => ({ file, ...block })),
  );
  if (found.length === 0) return { state: 'missing' };
  const [block] = found;
  const where = `${block.keyword} ${block.name}`;
  if (found.length > 1 || block.keyword !== 'model') {
    return {
      state: 'different',
      file: block.file,
      where,
      diff: found.map(({ keyword, name }) => `- ${keyword} ${name}`),
    };
  }
  const diff = differences(block.statements);
  if (diff.length > 0) return { state: 'different', file: block.file, where, diff };
  const size = block.statements.map(fieldOf).find((field) => field?.name === 'size');
  return { state: 'present', sizeType: size.type };
}

/** Lines to take out (`-`) and to put in (`+`) by hand. */
function differences(statements) {
  const theirs = statements.filter((statement) => fieldOf(statement));
  const byName = new Map(theirs.map((statement) => [fieldOf(statement).name, statement]));
  const diff = [];
  for (const statement of OURS.statements) {
    const field = fieldOf(statement);
    if (!field) {
      if (!statements.some((other) => sameAttribute(other, statement))) diff.push(`+ ${statement}`);
      continue;
    }
    const other = byName.get(field.name);
    if (other !== undefined && isEqual(fieldOf(other), field)) continue;
    if (other !== undefined) diff.push(`- ${other}`);
    diff.push(`+ ${statement}`);
  }
  const map = stringArgument(statements, '@@map');
  if (map !== undefined && map !== TABLE) diff.push(`- @@map("${map}")`);
  const known = new Set(OURS.statements.map((statement) => fieldOf(statement)?.name));
  for (const statement of theirs) {
    const field = fieldOf(statement);
    if (!known.has(field.name) && mustBeGiven(field)) {
      diff.push(`- ${statement}`, `+ ${statement.replace(field.type, `${field.type}?`)}`);
    }
  }
  return diff;
}

function isEqual(theirs, ours) {
  const sameType = theirs.type === ours.type || (ours.name === 'size' && TYPES_OF_SIZE.includes(theirs.type));
  return sameType && theirs.shape === ours.shape && relevant(theirs).join() === relevant(ours).join();
}

/** The writer supplies the id itself, so that whatever makes one elsewhere is the application's choice. */
function relevant({ name, attributes }) {
  return attributes.filter((attribute) => name !== 'id' || !attribute.startsWith('@default'));
}

/** An index by its columns; its name and order are the application's choice. */
const indexed = (statement) =>
  /^@@index\((?:fields:\s*)?\[([^\]]*)\]/.exec(statement)?.[1].replace(/\(.*?\)|\s/g, '');

const sameAttribute = (one, other) => indexed(one) !== undefined && indexed(one) === indexed(other);

/** Whether a row without this column is refused. Relations have no column. */
function mustBeGiven({ shape, attributes }) {
  const isFilled = (attribute) => /^@(default|updatedAt|relation|ignore)\b/.test(attribute);
  return shape === '' && !attributes.some(isFilled);
}

/** The text with the model at its end; everything before that stays byte for byte. */
function withModel(text) {
  const eol = text.includes('\r\n') ? '\r\n' : '\n';
  const gap = text === '' ? '' : text.endsWith('\n') ? eol : eol + eol;
  return text + gap + MODEL_TEXT.replaceAll('\n', eol);
}

module.exports = { findModel, withModel };
