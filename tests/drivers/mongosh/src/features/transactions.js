/* global features, connection, equal, failCommand, refused, plan, HOST_UNREACHABLE */

const majority = { writeConcern: { w: 'majority' } };

/** A collection with a counter, the same in a session, and the session. */
function prepared(name) {
  const mongo = connection();
  const things = mongo.getDB(plan.database).getCollection(name);
  things.deleteMany({});
  things.insertOne({ _id: 'counter', n: 0 });
  const session = mongo.startSession();
  return { things, session, inside: session.getDatabase(plan.database).getCollection(name) };
}

const countUp = (things) => things.updateOne({ _id: 'counter' }, { $inc: { n: 1 } });

features.transactions = function () {
  const { things, session, inside } = prepared('transactions');
  session.startTransaction(majority);
  inside.insertOne({ _id: 1 });
  countUp(inside);
  equal('own write inside', { _id: 1 }, inside.findOne({ _id: 1 }));
  equal('seen from outside before the commit', 0, things.countDocuments({ _id: 1 }));
  session.commitTransaction();
  equal('seen after the commit', 1, things.countDocuments({ _id: 1 }));
  equal('counter after the commit', 1, things.findOne({ _id: 'counter' }).n);

  session.startTransaction(majority);
  inside.insertOne({ _id: 2 });
  session.abortTransaction();
  equal('seen after the abort', 0, things.countDocuments({ _id: 2 }));
  session.endSession();
};

// The shell does not show what it sends. That the fail point acts is seen when it also meets
// the driver's only retry.
features['transaction-retry'] = function () {
  const failure = { errorCode: HOST_UNREACHABLE, errorLabels: ['RetryableWriteError'] };
  const { things, session, inside } = prepared('transaction_retry');
  failCommand('commitTransaction', failure, 2);
  session.startTransaction(majority);
  countUp(inside);
  refused('two failures', HOST_UNREACHABLE, () => session.commitTransaction());
  session.commitTransaction();
  equal('counter after a repeated commit', 1, things.findOne({ _id: 'counter' }).n);

  failCommand('commitTransaction', failure, 1);
  session.startTransaction(majority);
  countUp(inside);
  session.commitTransaction();
  equal('counter after one failure', 2, things.findOne({ _id: 'counter' }).n);
  session.endSession();
};

features['with-transaction'] = function () {
  const { things, session, inside } = prepared('with_transaction');
  failCommand('insert', { errorCode: 251, errorLabels: ['TransientTransactionError'] });
  let bodies = 0;
  session.withTransaction(function () {
    bodies += 1;
    inside.insertOne({ body: bodies });
    countUp(inside);
  }, majority);
  equal('runs of the body', 2, bodies);
  equal('counter', 1, things.findOne({ _id: 'counter' }).n);
  equal('documents of the body', 1, things.countDocuments({ body: { $exists: true } }));
  session.endSession();
};
