// Other ways to the server than a plain one with acknowledged writes.

/* global features, connection, database, emptyCollection, equal, fail, refused, uriNamed, withOption, sayAlso, plan */

features.unacknowledged = function () {
  const things = emptyCollection('unacknowledged', withOption(plan.uri, 'maxPoolSize=5'));
  for (let _id = 1; _id <= 100; _id += 1) things.insertOne({ _id }, { writeConcern: { w: 0 } });
  equal('documents counted', 100, things.countDocuments({}));
};

function compressed(codec) {
  const db = database(withOption(plan.uri, `compressors=${codec}`));
  // An offer that is not taken up would leave everything uncompressed, and unnoticed.
  const offered = db.adminCommand({ hello: 1, compression: [codec] }).compression || [];
  if (!offered.includes(codec)) fail(`the other side does not offer ${codec}`);
  const things = db.getCollection(`compressed_${codec}`);
  things.deleteMany({});
  const text = `${codec} `.repeat(1000000 / (codec.length + 1));
  for (const _id of [1, 2, 3]) {
    things.insertOne({ _id, text: text + _id });
    if (things.findOne({ _id }).text !== text + _id) fail(`document ${_id} came back changed`);
  }
  equal('documents', 3, things.countDocuments({}));
}

features.snappy = () => compressed('snappy');
features.zlib = () => compressed('zlib');
features.zstd = () => compressed('zstd');

// With maxTimeMS: the shell's driver has no limit for a whole operation.
features.timeout = function () {
  sayAlso('by maxTimeMS: this driver has no timeoutMS');
  const things = emptyCollection('timeout');
  things.insertOne({ _id: 1 });
  const began = Date.now();
  refused('an operation that takes 2 s', 50, () =>
    things.find({ $where: 'sleep(2000) || true' }).maxTimeMS(300).toArray());
  const took = Date.now() - began;
  if (took < 250 || took > 1500) fail(`the error came after ${took} ms`);
  equal('the next operation', [{ _id: 1 }], things.find().toArray());
};

function crudThrough(endpoint) {
  const mongo = connection(uriNamed(endpoint));
  const things = mongo.getDB(plan.database).getCollection(`road_${endpoint}`);
  things.deleteMany({});
  const many = [];
  for (let n = 0; n < 100; n += 1) many.push({ _id: n, n });
  things.insertMany(many);
  equal('updated', 10, things.updateMany({ n: { $lt: 10 } }, { $inc: { n: 1 } }).modifiedCount);
  equal('read in many batches', 100, things.find().batchSize(7).toArray().length);
  equal('deleted', 1, things.deleteOne({ _id: 0 }).deletedCount);
  return { mongo, things };
}

features.tls = () => crudThrough('tls');
features.unix = () => crudThrough('unix');

features.balanced = function () {
  const { mongo, things } = crudThrough('balanced');
  const session = mongo.startSession();
  const inside = session.getDatabase(plan.database).getCollection('road_balanced');
  session.startTransaction();
  inside.insertOne({ _id: 'in a transaction' });
  inside.updateOne({ _id: 5 }, { $set: { n: 500 } });
  session.commitTransaction();
  session.endSession();
  equal('updated in the transaction', 500, things.findOne({ _id: 5 }).n);
  equal('inserted in the transaction', 1, things.countDocuments({ _id: 'in a transaction' }));
};
