'use strict';

// Every feature by name, in the order of tests/drivers/README.md, and how a list of them is run.

const { setTimeout: delay } = require('node:timers/promises');

const { Context } = require('./context');
const { NotApplicable } = require('./expect');

const features = {
  ...require('./features/connecting'),
  ...require('./features/crud'),
  ...require('./features/bulk'),
  ...require('./features/transactions'),
  ...require('./features/consistency'),
  ...require('./features/streams'),
  ...require('./features/gridfs'),
  ...require('./features/retries'),
  ...require('./features/routing'),
  ...require('./features/writes'),
  ...require('./features/compression'),
  ...require('./features/deadlines'),
  ...require('./features/endpoints'),
  ...require('./features/sessions'),
  ...require('./features/commands'),
};

const LIMIT_MS = 30_000;

async function withLimit(work) {
  const stop = new AbortController();
  const limit = delay(LIMIT_MS, undefined, { signal: stop.signal }).then(() => {
    throw new Error('took longer than 30 s');
  });
  try {
    await Promise.race([work, limit]);
  } finally {
    stop.abort();
    limit.catch(() => {});
    work.catch(() => {});
  }
}

async function attempt(feature, context) {
  try {
    await withLimit(feature(context));
  } finally {
    await withLimit(context.close());
  }
}

async function runFeature(name, plan) {
  const feature = features[name];
  if (!feature) return { feature: name, result: 'n/a', reason: 'the program does not know it' };
  const began = Date.now();
  try {
    const context = new Context(plan);
    await attempt(feature, context);
    return { feature: name, result: 'pass', reason: context.note, ms: Date.now() - began };
  } catch (error) {
    const result = error instanceof NotApplicable ? 'n/a' : 'fail';
    return { feature: name, result, reason: error.message || String(error) };
  }
}

async function dropDatabase(plan) {
  const context = new Context(plan);
  await attempt(async () => {
    await context.newDatabase().dropDatabase({ writeConcern: { w: 'majority' } });
  }, context);
}

async function runFeatures(plan, say) {
  await dropDatabase(plan);
  for (const name of plan.features ?? Object.keys(features)) {
    say(await runFeature(name, plan));
  }
  await dropDatabase(plan);
}

module.exports = { runFeatures };
