'use strict';

// Reads the plan from standard input and carries it out. See tests/drivers/README.md.

const { readFileSync } = require('node:fs');

const { runConnect } = require('./connect');
const { runFeatures } = require('./features');
const { runLoad } = require('./load');
const { runProbe } = require('./probe');
const { runRolling } = require('./rolling');

const modes = {
  features: runFeatures,
  probe: runProbe,
  connect: runConnect,
  rolling: runRolling,
  load: runLoad,
};

const say = (line) => process.stdout.write(`${JSON.stringify(line)}\n`);

async function main() {
  const plan = JSON.parse(readFileSync(0, 'utf8'));
  const run = modes[plan.mode];
  if (!run) throw new Error(`unknown mode ${plan.mode}`);
  await run(plan, say);
}

main().then(
  // A driver may leave a timer behind; the program ends by itself all the same.
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  }
);
