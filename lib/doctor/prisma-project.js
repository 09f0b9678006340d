'use strict';

// The Prisma project in the working directory, by the names of its files.

const fs = require('node:fs');

const SCHEMAS = [
  'prisma/schema.prisma',
  'prisma/schema',
  'schema.prisma',
  'prisma.config.ts',
  'prisma.config.mjs',
];
const MIGRATIONS = 'prisma/migrations';

function usesPrisma() {
  return SCHEMAS.some((name) => fs.existsSync(name));
}

/** Names of the migrations in the folder that Prisma uses unless told otherwise. */
function migrationsOnDisk() {
  try {
    const entries = fs.readdirSync(MIGRATIONS, { withFileTypes: true });
    const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
    return names.filter((name) => fs.existsSync(`${MIGRATIONS}/${name}/migration.sql`)).sort();
  } catch {
    return [];
  }
}

module.exports = { usesPrisma, migrationsOnDisk };
