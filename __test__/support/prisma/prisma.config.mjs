// A plain object, because the project lies in a temporary folder and imports nothing of Prisma's.
export default {
  schema: 'schema.prisma',
  migrations: { path: 'migrations' },
  datasource: { url: process.env.DATABASE_URL },
};
