'use strict';

// The command line: what there is to type. What a command does is in commands.js,
// how it runs (signals, errors, exit code) in session.js.

const { Command, CommanderError, InvalidArgumentError, Option } = require('commander');
const { version } = require('../../package.json');
const commands = require('./commands.js');
const { doctor } = require('./doctor.js');
const drill = require('./drill.js');
const exitCodes = require('./exit-codes.js');
const { prismaInit } = require('./prisma.js');
const health = require('./health.js');
const retention = require('./retention.js');
const { runCommand, printError } = require('./session.js');
const storage = require('./storage.js');

const HELP = `
Exit codes:
  0    done
  1    failed; a drill could not be carried out
  2    wrong usage, or a confirmation is needed and nobody can be asked (--yes)
  3    a verification, a check, a drill, the doctor or "prisma init" found
       problems, or the status is critical; warnings end with 0
  130  interrupted or declined

Environment:
  DATABASE_URL  the SQLite file, such as file:./prisma/dev.db
  SNAPSHOT_DIR  the folder of the snapshots (default: backups/ beside the
                database)
  SNAPSHOT_DATABASE_ID
                the name that identifies the database on every host (default:
                by this repository and the path)
  SNAPSHOT_CRON_SCHEDULE
                the schedule that "status" judges by (default: 0 */6 * * *)
  S3_BUCKET     the bucket that holds them as well (default: none, S3 is off)
  S3_PREFIX     what every key in it begins with (default: snapshots/; / for
                nothing)
  S3_FORCE_PATH_STYLE
                true or false (default: true for IP addresses and localhost)
  S3_DISABLE, SNAPSHOT_S3_DISABLE
                true switches S3 off, whatever else is set
  AWS_REGION, AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, AWS_PROFILE, ...
                as the AWS SDK reads them`;

/** Runs the command line and resolves with the exit code. */
async function main(argv) {
  let exitCode = exitCodes.OK;
  const program = build((result) => {
    exitCode = result;
  });
  const json = argv.includes('--json');
  if (json) {
    silence(program);
  }
  try {
    await program.parseAsync(argv);
  } catch (error) {
    return usageExitCode(error, json);
  }
  return exitCode;
}

function silence(command) {
  command.configureOutput({ writeErr: () => {} });
  command.commands.forEach(silence);
}

function build(done) {
  const program = new Command('snapshot-writer')
    .description('Snapshots, verifies and restores a live SQLite database.')
    .version(version)
    .option('--database-url <url>', 'the database (instead of DATABASE_URL)')
    .option('--snapshot-dir <folder>', 'the folder of the snapshots (instead of SNAPSHOT_DIR)')
    .option('--json', 'print one JSON value on standard output, errors included')
    .addHelpText('after', HELP)
    .configureHelp({ showGlobalOptions: true })
    .exitOverride();

  const add = (usage, description, action, parent = program) => {
    const command = parent.command(usage).description(description);
    command.configureHelp({ showGlobalOptions: true });
    return command.action((...parameters) => {
      // Commander hands over the arguments, the options and the command itself.
      const [given, options] = [parameters.slice(0, -2), command.optsWithGlobals()];
      return runCommand(options, (session) => action(session, ...given)).then(done);
    });
  };
  const force = ['--force', 'even while a process still has the deleted database open'];
  const yes = ['-y, --yes', 'do not ask for confirmation'];
  const tier = () =>
    new Option('--tier <tier>', 'read from there alone (default: both, local first)').choices([
      'local',
      's3',
    ]);

  add('create [name]', 'take a snapshot', commands.create);
  add('list', 'list the snapshots', commands.list).option('--deleted', 'those in the trash as well');
  add('show <name>', 'show one snapshot', commands.show);
  add('verify <name>', 'check that a snapshot can be restored', commands.verify)
    .addOption(
      new Option('--level <level>', 'how thoroughly')
        .choices(['structure', 'data', 'database'])
        .default('data'),
    )
    .addOption(tier());
  add('restore <name>', 'make the database what it was at a snapshot', commands.restore)
    .option(...yes)
    .option(...force)
    .option('--foreign', 'also a snapshot of another database')
    .addOption(tier());
  add('undo', 'take the last restore back', commands.undo).option(...yes);
  add(
    'bootstrap',
    'fill a missing or empty database from the newest good snapshot',
    commands.bootstrap,
  ).option(...force);
  add(
    'rescue [name]',
    'take a snapshot of a deleted database that a process still has open',
    commands.rescue,
  );
  add('export <name> <file>', 'write a snapshot as a plain SQLite file', commands.exportFile).addOption(
    tier(),
  );
  add('delete <name>', 'delete a snapshot', commands.remove).option(...yes);
  retention
    .withRules(add('prune', 'remove the snapshots that a policy does not keep', retention.prune))
    .addOption(new Option('--tier <tier>', 'prune there alone (default: both)').choices(['local', 's3']))
    .option('--dry-run', 'only tell what would be done, and why')
    .option('--now', 'delete for good at once, what is in the trash as well: works on a full disk');
  add('undelete <name>', 'bring back what prune removed', retention.undelete);
  add('pin <name>', 'keep a snapshot whatever prune is told', retention.pin);
  add('unpin <name>', 'take that back', retention.unpin);
  add('acknowledge', 'say that a loss of content was meant, so that prune goes on', retention.acknowledge);
  add('sync', 'mirror snapshots that are missing in the bucket, or here', storage.sync).addOption(
    new Option('--direction <direction>', 'up: to the bucket, down: from it')
      .choices(['up', 'down', 'both'])
      .default('up'),
  );
  add('check-storage', 'test what the bucket and its credentials allow', storage.check);
  add('drill [name]', 'try whether the newest (or this) snapshot brings the database back', drill.drill)
    .addOption(tier())
    .option('--assertions <file>', 'JSON file with what must hold in the restored data')
    .option('--max-drift <share>', 'by which rows may differ from the live database (default: 0.5)', share);
  add('drills', 'list the restore drills so far', drill.drills);
  add('doctor', 'look for everything that could go wrong, and say what to do', doctor);
  add('status', 'judge the state of database and snapshots', health.status);
  add('metrics', 'print the metrics in the text format of Prometheus', health.metrics);
  const prisma = program.command('prisma').description('what a Prisma project needs');
  add('init', 'add the Snapshot model and its migration to the project', prismaInit, prisma)
    .option('--schema <path>', 'the schema, a file or a folder (default: as Prisma finds it)')
    .option('--migrations <folder>', 'the folder of migrations (default: as Prisma finds it)')
    .option('--dry-run', 'write nothing');
  return program;
}

function share(text) {
  const value = Number(text);
  if (text.trim() === '' || !(value >= 0 && value <= 1)) {
    throw new InvalidArgumentError('It must be a number from 0 to 1.');
  }
  return value;
}

function usageExitCode(error, json) {
  if (!(error instanceof CommanderError) && !(error instanceof InvalidArgumentError)) {
    throw error;
  }
  // Help and version end here too, with exit code 0. Without --json Commander has printed its message.
  if (error.exitCode === 0) return exitCodes.OK;
  if (json)
    printError({ json }, { code: 'INVALID_ARGUMENT', message: error.message.replace(/^error: /, '') });
  return exitCodes.USAGE;
}

module.exports = { main };
