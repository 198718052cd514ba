'use strict';

// Runs the features in one shell. A shell script cannot watch its own time, so this does: a
// shell that is silent for too long is ended, and another one takes up what is left.

const { spawn } = require('node:child_process');
const { readFileSync, mkdtempSync, rmSync } = require('node:fs');
const { tmpdir } = require('node:os');
const path = require('node:path');
const { createInterface } = require('node:readline');

const LIMIT_MS = 30_000;
/** For the shell itself to start and stop. */
const GRACE_MS = 10_000;

const features = [
  'connect', 'server-api', 'server-api-strict', 'scram-sha-256', 'scram-sha-1',
  'crud', 'bulk', 'client-bulk-write', 'out-merge', 'large-results',
  'transactions', 'transaction-retry', 'with-transaction', 'causal', 'snapshot',
  'change-stream', 'gridfs', 'retryable-read', 'retryable-write',
  'read-preference', 'max-staleness', 'unacknowledged', 'tailable', 'exhaust',
  'snappy', 'zlib', 'zstd', 'timeout', 'tls', 'unix', 'balanced',
  'sessions', 'concurrent', 'commands', 'pool', 'server-status',
];

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

const shell = path.join(__dirname, '..', 'node_modules', '.bin', 'mongosh');

/** Runs some features in one shell; resolves to how many of them have a line, and why it ended. */
function runInOneShell(plan, home) {
  return new Promise((resolve) => {
    const child = spawn(shell, ['--nodb', '--quiet', '--norc', path.join(__dirname, 'program.js')], {
      env: { ...process.env, HOME: home, WEIR_PLAN: JSON.stringify(plan), WEIR_SHELL: shell },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let done = 0;
    let why = 'the shell ended';
    let timer;
    const expectALineWithin = (ms) => {
      clearTimeout(timer);
      timer = setTimeout(() => {
        why = 'took longer than 30 s';
        child.kill('SIGKILL');
      }, ms);
    };
    expectALineWithin(LIMIT_MS + GRACE_MS);
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('{"feature":')) return console.error(line);
      done += 1;
      expectALineWithin(done < plan.features.length ? LIMIT_MS : GRACE_MS);
      say(JSON.parse(line));
    });
    child.on('close', () => {
      clearTimeout(timer);
      resolve({ done, why });
    });
  });
}

async function runFeatures(plan) {
  let left = plan.features ?? features;
  // The shell keeps its settings and logs in the home folder; the user's stay untouched.
  const home = mkdtempSync(path.join(tmpdir(), 'weir-mongosh-'));
  try {
    while (left.length > 0) {
      const { done, why } = await runInOneShell({ ...plan, features: left }, home);
      if (done < left.length) say({ feature: left[done], result: 'fail', reason: why });
      left = left.slice(done + 1);
    }
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

async function main() {
  const plan = JSON.parse(readFileSync(0, 'utf8'));
  if (plan.mode === 'features') return runFeatures(plan);
  if (plan.mode !== 'probe') throw new Error(`unknown mode ${plan.mode}`);
  for (const { id } of plan.cases) {
    say({ id, outcome: 'n/a', message: "the shell does not show its driver's events" });
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
