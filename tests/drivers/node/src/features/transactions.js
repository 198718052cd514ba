'use strict';

const { equal } = require('../expect');
const { startedCommands, count } = require('../watched');

const HOST_UNREACHABLE = 6;
const NO_SUCH_TRANSACTION = 251;

const majority = { writeConcern: { w: 'majority' } };

/** A client that reports its commands, and a collection of it that exists and is empty. */
async function prepared(context, name) {
  const client = context.client({ monitorCommands: true });
  const things = context.database(client).collection(name);
  await things.deleteMany({});
  await things.insertOne({ _id: 'counter', n: 0 });
  return { client, things };
}

const counter = async (things) => (await things.findOne({ _id: 'counter' })).n;

async function transactions(context) {
  const { client, things } = await prepared(context, 'transactions');
  const outside = context.newDatabase().collection('transactions');
  const session = client.startSession();

  session.startTransaction(majority);
  await things.insertOne({ _id: 1 }, { session });
  await things.updateOne({ _id: 'counter' }, { $inc: { n: 1 } }, { session });
  equal((await things.findOne({ _id: 1 }, { session }))?._id, 1, 'own write inside');
  equal(await outside.findOne({ _id: 1 }), null, 'seen from outside before the commit');
  await session.commitTransaction();
  equal((await outside.findOne({ _id: 1 }))?._id, 1, 'seen after the commit');
  equal(await counter(outside), 1, 'counter after the commit');

  session.startTransaction(majority);
  await things.insertOne({ _id: 2 }, { session });
  await session.abortTransaction();
  equal(await outside.findOne({ _id: 2 }), null, 'seen after the abort');
  await session.endSession();
}

async function transactionRetry(context) {
  const { client, things } = await prepared(context, 'transaction_retry');
  const session = client.startSession();
  await context.failCommand(['commitTransaction'], {
    errorCode: HOST_UNREACHABLE,
    errorLabels: ['RetryableWriteError'],
  });
  const sent = startedCommands(client);
  session.startTransaction(majority);
  await things.updateOne({ _id: 'counter' }, { $inc: { n: 1 } }, { session });
  await session.commitTransaction();
  await session.endSession();
  equal(count(sent, 'commitTransaction'), 2, 'commits sent');
  equal(await counter(things), 1, 'counter');
}

async function withTransaction(context) {
  const { client, things } = await prepared(context, 'with_transaction');
  await context.failCommand(['insert'], {
    errorCode: NO_SUCH_TRANSACTION,
    errorLabels: ['TransientTransactionError'],
  });
  const session = client.startSession();
  let bodies = 0;
  await session.withTransaction(async () => {
    bodies += 1;
    await things.insertOne({ body: bodies }, { session });
    await things.updateOne({ _id: 'counter' }, { $inc: { n: 1 } }, { session });
  }, majority);
  await session.endSession();
  equal(bodies, 2, 'runs of the body');
  equal(await counter(things), 1, 'counter');
  equal(await things.countDocuments({ body: { $exists: true } }), 1, 'documents of the body');
}

module.exports = {
  transactions,
  'transaction-retry': transactionRetry,
  'with-transaction': withTransaction,
};
