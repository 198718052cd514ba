'use strict';

// One operation per case, and what the driver made of what happened to it.

const { setTimeout: delay } = require('node:timers/promises');

const { MongoClient, MongoNetworkError } = require('mongodb');

const { startedCommands, count, disturbances } = require('./watched');

const LIMIT_MS = 25_000;

async function inTransaction(client, things, statements, end) {
  const session = client.startSession();
  try {
    session.startTransaction();
    await statements(session);
    await end(session);
  } finally {
    await session.endSession();
  }
}

async function inWithTransaction(client, things, seen) {
  const session = client.startSession();
  try {
    await session.withTransaction(async () => {
      seen.bodies += 1;
      await things.insertOne({ body: seen.bodies }, { session });
    });
  } finally {
    await session.endSession();
  }
}

const insertOne = (things) => (session) => things.insertOne({ n: 1 }, { session });
const commit = (session) => session.commitTransaction();

/** Class → the command that is counted, and the operation. */
const classes = {
  RD: { counts: 'find', run: (_, things) => things.findOne({}) },
  RW: { counts: 'insert', run: (_, things) => things.insertOne({ n: 1 }) },
  NW: { counts: 'update', run: (_, things) => things.updateMany({}, { $inc: { n: 1 } }) },
  TX: {
    counts: 'update',
    run: (client, things) =>
      inTransaction(
        client,
        things,
        async (session) => {
          await things.insertOne({ n: 1 }, { session });
          await things.updateOne({}, { $inc: { n: 1 } }, { session });
        },
        commit
      ),
  },
  TXW: { counts: 'insert', run: inWithTransaction },
  CM: {
    counts: 'commitTransaction',
    run: (client, things) => inTransaction(client, things, insertOne(things), commit),
  },
  CMW: { counts: 'commitTransaction', run: inWithTransaction },
  AB: {
    counts: 'abortTransaction',
    run: (client, things) =>
      inTransaction(client, things, insertOne(things), (session) => session.abortTransaction()),
  },
  GM: {
    counts: 'getMore',
    run: async (_, things) => {
      const found = await things.find({}).batchSize(2).toArray();
      if (found.length !== 5) throw new Error(`expected 5 documents, got ${found.length}`);
    },
  },
  CS: {
    counts: 'aggregate',
    run: async (_, things) => {
      const stream = things.watch();
      try {
        for (let read = 0; read < 3; read += 1) await stream.next();
      } finally {
        await stream.close();
      }
    },
  },
};

async function outcomeOf(work) {
  const late = delay(LIMIT_MS, undefined, { ref: false }).then(() => {
    throw new Error('took longer than 25 s');
  });
  try {
    await Promise.race([work, late]);
    return { outcome: 'ok', code: null, labels: [], network: false, message: '' };
  } catch (error) {
    return {
      outcome: 'error',
      code: typeof error.code === 'number' ? error.code : null,
      labels: [...(error.errorLabels ?? [])].sort(),
      network: error instanceof MongoNetworkError,
      message: error.message,
    };
  } finally {
    late.catch(() => {});
    work.catch(() => {});
  }
}

async function probe({ id, class: name, uri }) {
  const client = new MongoClient(uri, { monitorCommands: true });
  const sent = startedCommands(client);
  const disturbed = disturbances(client);
  const seen = { bodies: 0 };
  const { counts, run } = classes[name];
  const began = Date.now();
  const result = await outcomeOf(run(client, client.db().collection('probe'), seen));
  const line = { id, attempts: count(sent, counts), ...seen, ...result, ...disturbed, ms: Date.now() - began };
  await Promise.race([client.close(), delay(2000)]);
  return line;
}

async function runProbe(plan, say) {
  for (const each of plan.cases) say(await probe(each));
}

module.exports = { runProbe };
