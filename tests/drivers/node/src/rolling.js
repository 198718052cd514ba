'use strict';

// Work until a file appears: what a rolling replacement must not be noticed by.

const { existsSync } = require('node:fs');
const { setTimeout: delay } = require('node:timers/promises');

const { MongoClient } = require('mongodb');

const PAUSE_MS = 5;

/** Tries one operation; whatever it throws, the application saw it. */
async function attempt(line, what, work, counts, by = 1) {
  const start = performance.now();
  try {
    await work();
    if (counts) line[counts] += by;
  } catch (error) {
    const seen = `${what}: ${error.name}: ${error.message}`.slice(0, 300);
    line.errors[seen] = (line.errors[seen] ?? 0) + 1;
  }
  line.operations += 1;
  line.slowestMs = Math.max(line.slowestMs, Math.round(performance.now() - start));
}

async function found(things, which) {
  if ((await things.findOne({ _id: which })) === null) throw new Error('not found');
}

async function batches(things) {
  const documents = await things.find({}).limit(7).batchSize(2).toArray();
  if (documents.length > 7) throw new Error('too many');
}

async function pair(client, pairs, which) {
  const session = client.startSession();
  try {
    await session.withTransaction(async () => {
      await pairs.insertOne({ _id: `${which}-a` }, { session });
      await pairs.insertOne({ _id: `${which}-b` }, { session });
    });
  } finally {
    await session.endSession();
  }
}

async function worker(client, database, name, line, stop) {
  const db = client.db(database);
  const [things, pairs, counters] = ['things', 'pairs', 'counters'].map((each) => db.collection(each));
  const counter = { _id: name };
  await counters.insertOne({ ...counter, one: [], many: [] });
  for (let n = 0; !existsSync(stop); n += 1) {
    const which = `${name}-${n}`;
    await attempt(line, 'insert', () => things.insertOne({ _id: which }), 'inserted');
    await attempt(line, 'find', () => found(things, which));
    await attempt(line, 'update', () => counters.updateOne(counter, { $push: { one: n } }), 'increments');
    if (n % 3 === 0) {
      await attempt(line, 'updateMany', () => counters.updateMany(counter, { $push: { many: n } }), 'many');
    } else if (n % 3 === 1) {
      await attempt(line, 'cursor', () => batches(things));
    } else {
      await attempt(line, 'transaction', () => pair(client, pairs, which), 'pairs', 2);
    }
    await delay(PAUSE_MS);
  }
}

async function runRolling(plan, say) {
  const targets = plan.targets.map(({ name, uri }) => {
    const line = { target: name, operations: 0, errors: {}, slowestMs: 0 };
    Object.assign(line, { inserted: 0, increments: 0, many: 0, pairs: 0 });
    return { name, line, client: new MongoClient(uri) };
  });
  const workers = targets.flatMap(({ name, line, client }) =>
    Array.from({ length: plan.workers }, (_, number) =>
      worker(client, plan.database, `${name}-${number}`, line, plan.stop)
    )
  );
  await Promise.all(workers);
  for (const { line, client } of targets) {
    await client.close();
    say(line);
  }
}

module.exports = { runRolling };
