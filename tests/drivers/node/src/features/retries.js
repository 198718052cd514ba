'use strict';

const { equal } = require('../expect');
const { startedCommands, count } = require('../watched');

const HOST_UNREACHABLE = 6;

/** Runs `operation` under each failure: an error, then a closed connection. */
async function underFailures(context, command, error, operation) {
  const client = context.client({ monitorCommands: true });
  const things = context.database(client).collection(`retry_${command}`);
  await things.deleteMany({});
  await things.insertOne({ _id: 'there' });
  for (const failure of [error, { closeConnection: true }]) {
    const what = Object.keys(failure)[0];
    await context.failCommand([command], failure);
    const sent = startedCommands(client);
    await operation(things, what);
    equal(count(sent, command), 2, `${command} commands sent, ${what}`);
    client.removeAllListeners('commandStarted');
  }
}

async function retryableRead(context) {
  const failure = { errorCode: HOST_UNREACHABLE };
  await underFailures(context, 'find', failure, async (things) => {
    equal(await things.find({}).toArray(), [{ _id: 'there' }], 'found');
  });
}

async function retryableWrite(context) {
  const failure = { errorCode: HOST_UNREACHABLE, errorLabels: ['RetryableWriteError'] };
  await underFailures(context, 'insert', failure, async (things, what) => {
    await things.insertOne({ what });
    equal(await things.countDocuments({ what }), 1, 'times the document is there');
  });
}

module.exports = { 'retryable-read': retryableRead, 'retryable-write': retryableWrite };
