/* global features, database, emptyCollection, equal, failCommand, notApplicable, refused, HOST_UNREACHABLE */

function openStream(things) {
  const stream = things.watch([], { maxAwaitTimeMS: 500 });
  // The driver opens the cursor with the first read.
  equal('events before the first write', null, stream.tryNext());
  return stream;
}

/** Reads until there are so many; a cursor that waits may come back empty before. */
function readIds(cursor, many, idOf) {
  const ids = [];
  const end = Date.now() + 10000;
  while (ids.length < many && Date.now() < end) {
    const next = cursor.tryNext();
    if (next) ids.push(idOf(next));
  }
  return ids;
}

features['change-stream'] = function () {
  const things = emptyCollection('change_stream');
  const stream = openStream(things);
  const insertAndSee = function (ids) {
    for (const _id of ids) things.insertOne({ _id });
    equal('events', ids, readIds(stream, ids.length, (event) => event.documentKey._id));
  };
  insertAndSee([1, 2, 3]);
  failCommand('getMore', { errorCode: HOST_UNREACHABLE, errorLabels: ['ResumableChangeStreamError'] });
  insertAndSee([4, 5, 6]);
  equal('event after the last write', null, stream.tryNext());
  stream.close();
  // That the fail point acts on a stream shows when there is nothing to resume it.
  const other = openStream(things);
  failCommand('getMore', { errorCode: HOST_UNREACHABLE, errorLabels: [] });
  refused('without the label', HOST_UNREACHABLE, () => other.tryNext());
};

features.tailable = function () {
  const db = database();
  db.createCollection('tailable', { capped: true, size: 100000 });
  db.tailable.insertOne({ _id: 0 });
  const cursor = db.tailable.find().tailable({ awaitData: true }).maxAwaitTimeMS(500);
  equal('documents at first', [0], readIds(cursor, 1, (one) => one._id));
  for (const _id of [1, 2, 3]) db.tailable.insertOne({ _id });
  equal('documents written later', [1, 2, 3], readIds(cursor, 3, (one) => one._id));
  cursor.close();
  db.tailable.drop();
};

features.exhaust = function () {
  notApplicable('the shell has no exhaust cursors');
};

features.gridfs = function () {
  notApplicable('the shell has no GridFS');
};
