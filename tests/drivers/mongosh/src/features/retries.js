/* global features, emptyCollection, equal, failCommand, rejected, refused, HOST_UNREACHABLE */

// The shell does not show what it sends. That the fail point acts is seen when it also meets
// the driver's only retry.

features['retryable-read'] = function () {
  const things = emptyCollection('retry_find');
  things.insertOne({ _id: 'there' });
  const answer = { errorCode: HOST_UNREACHABLE };
  failCommand('find', answer, 2);
  refused('two failures', HOST_UNREACHABLE, () => things.find().toArray());
  for (const failure of [answer, { closeConnection: true }]) {
    failCommand('find', failure);
    equal(`found, ${Object.keys(failure)[0]}`, [{ _id: 'there' }], things.find().toArray());
  }
};

features['retryable-write'] = function () {
  const things = emptyCollection('retry_insert');
  const answer = { errorCode: HOST_UNREACHABLE, errorLabels: ['RetryableWriteError'] };
  failCommand('insert', answer, 2);
  rejected('two failures', () => things.insertOne({ what: 'two failures' }));
  equal('times it is there after two failures', 0, things.countDocuments({ what: 'two failures' }));
  for (const failure of [answer, { closeConnection: true }]) {
    const what = Object.keys(failure)[0];
    failCommand('insert', failure);
    things.insertOne({ what });
    equal(`times it is there, ${what}`, 1, things.countDocuments({ what }));
  }
};
