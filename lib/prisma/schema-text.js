'use strict';

// Reads as much of Prisma's schema language as it takes to find a block and compare its lines:
// blocks, comments, strings. Nothing is ever rewritten, so what it does not know stays as it is.

const TOKENS = /"(?:\\.|[^"\\\n])*"|\/\/[^\n]*|\/\*[\s\S]*?\*\//g;
const BLOCK = /^[ \t]*(model|view|type|enum|datasource|generator)[ \t]+(\w+)[ \t\r\n]*\{/gm;
const FIELD = /^(\w+)\s+([\w.]+(?:\("[^"]*"\))?)(\[\]|\?)?\s*(.*)$/s;

const blank = (text) => text.replace(/[^\n]/g, ' ');

/** The text without comments; offsets stay. */
const withoutComments = (text) => text.replace(TOKENS, (token) => (token[0] === '"' ? token : blank(token)));

/** The text without comments and strings; offsets stay. */
const skeletonOf = (text) => text.replace(TOKENS, blank);

/** Every block: keyword, name, and its statements, each on one line and with single spaces. */
function blocksOf(text) {
  const [code, skeleton] = [withoutComments(text), skeletonOf(text)];
  return [...skeleton.matchAll(BLOCK)].map((match) => {
    const [begin, keyword, name] = match;
    const start = match.index + begin.length;
    const end = skeleton.indexOf('}', start);
    const inside = [start, end < 0 ? undefined : end];
    return { keyword, name, statements: statementsOf(code.slice(...inside), skeleton.slice(...inside)) };
  });
}

/** Lines; one that ends inside brackets goes on in the next. */
function statementsOf(code, skeleton) {
  const statements = [];
  let [depth, start] = [0, 0];
  for (let at = 0; at <= code.length; at += 1) {
    if ('(['.includes(skeleton[at] ?? ' ')) depth += 1;
    if (')]'.includes(skeleton[at] ?? ' ')) depth -= 1;
    if (at === code.length || (code[at] === '\n' && depth <= 0)) {
      const statement = code.slice(start, at).trim().replace(/\s+/g, ' ');
      if (statement !== '') statements.push(statement);
      start = at + 1;
    }
  }
  return statements;
}

/** A field's parts; undefined for `@@index` and the like. */
function fieldOf(statement) {
  if (statement.startsWith('@@')) return undefined;
  const match = FIELD.exec(statement);
  if (match === null) return undefined;
  const [, name, type, shape = '', attributes] = match;
  return { name, type, shape, attributes: attributesOf(attributes) };
}

/** `@id @default(uuid())` as a sorted list, so that their order means nothing. */
function attributesOf(text) {
  const attributes = [];
  let [depth, start] = [0, 0];
  const skeleton = skeletonOf(text);
  for (let at = 0; at <= text.length; at += 1) {
    if (skeleton[at] === '(') depth += 1;
    if (skeleton[at] === ')') depth -= 1;
    const ends = at === text.length || (depth === 0 && skeleton[at] === '@' && at > start);
    if (!ends) continue;
    const attribute = text
      .slice(start, at)
      .replace(/\s*([(),[\]:])\s*/g, '$1')
      .trim();
    if (attribute !== '') attributes.push(attribute);
    start = at;
  }
  return attributes.sort();
}

/** The argument of an attribute with a single string, such as the name in `@@map("Snapshot")`. */
function stringArgument(statements, attribute) {
  for (const statement of statements) {
    const match = new RegExp(`^${attribute}\\((?:\\w+:)?\\s*"([^"]*)"\\)`).exec(statement);
    if (match) return match[1];
  }
  return undefined;
}

module.exports = { blocksOf, fieldOf, stringArgument };
