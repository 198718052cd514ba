/* global features, emptyCollection, equal, fail, refused */

function insertAndFind(things) {
  things.insertOne({ _id: 0, n: 0, kind: 'even' });
  const more = [];
  for (let n = 1; n < 10; n += 1) more.push({ _id: n, n, kind: n % 2 ? 'odd' : 'even' });
  equal('inserted', 9, Object.keys(things.insertMany(more).insertedIds).length);
  const found = things.find({ kind: 'even' }, { _id: 0, n: 1 }).sort({ n: -1 }).skip(1).limit(2).toArray();
  equal('sort, skip, limit and projection', [{ n: 6 }, { n: 4 }], found);
  equal('countDocuments', 5, things.countDocuments({ kind: 'odd' }));
  equal('estimatedDocumentCount', 10, things.estimatedDocumentCount());
  equal('distinct', ['even', 'odd'], things.distinct('kind').sort());
  refused('the same _id again', 11000, () => things.insertOne({ _id: 0 }));
}

function update(things) {
  equal('updateOne', 1, things.updateOne({ _id: 1 }, { $set: { x: 1 } }).modifiedCount);
  equal('updateMany', 5, things.updateMany({ kind: 'odd' }, { $inc: { n: 10 } }).modifiedCount);
  equal('replaceOne', 1, things.replaceOne({ _id: 2 }, { n: 22 }).modifiedCount);
  equal('replaced', { _id: 2, n: 22 }, things.findOne({ _id: 2 }));
  equal('upsert', 99, things.updateOne({ _id: 99 }, { $set: { n: 99 } }, { upsert: true }).insertedId);
}

function findAndChange(things) {
  const after = { returnDocument: 'after' };
  equal('findOneAndUpdate', 12, things.findOneAndUpdate({ _id: 1 }, { $inc: { n: 1 } }, after).n);
  equal('findOneAndReplace', { _id: 3, n: 33 }, things.findOneAndReplace({ _id: 3 }, { n: 33 }, after));
  equal('findOneAndDelete', { _id: 99, n: 99 }, things.findOneAndDelete({ _id: 99 }));
}

function removeAndIndex(things) {
  equal('deleteOne', 1, things.deleteOne({ _id: 1 }).deletedCount);
  equal('deleteMany', 4, things.deleteMany({ kind: 'even' }).deletedCount);
  equal('left', 5, things.countDocuments({}));
  const names = (list) => list.map((index) => index.name);
  equal('createIndex', 'n_1', things.createIndex({ n: 1 }));
  equal('indexes', ['_id_', 'n_1'], names(things.getIndexes()));
  things.dropIndex('n_1');
  equal('indexes after the drop', ['_id_'], names(things.getIndexes()));
}

features.crud = function () {
  const things = emptyCollection('crud');
  insertAndFind(things);
  update(things);
  findAndChange(things);
  removeAndIndex(things);
};

features['out-merge'] = function () {
  const [things, copied, merged] = [emptyCollection('source'), emptyCollection('copied'), emptyCollection('merged')];
  things.insertMany([{ _id: 1, n: 1 }, { _id: 2, n: 2 }, { _id: 3, n: 3 }]);
  merged.insertOne({ _id: 3, old: true });
  const some = { $match: { n: { $gt: 1 } } };
  things.aggregate([some, { $out: 'copied' }]).toArray();
  equal('$out', [{ _id: 2, n: 2 }, { _id: 3, n: 3 }], copied.find().sort({ _id: 1 }).toArray());
  things.aggregate([some, { $merge: { into: 'merged' } }]).toArray();
  equal('$merge', [{ _id: 2, n: 2 }, { _id: 3, old: true, n: 3 }], merged.find().sort({ _id: 1 }).toArray());
};

features['large-results'] = function () {
  const things = emptyCollection('large');
  const payload = (n) => String(n).padStart(8, '0').repeat(1280);
  for (let start = 0; start < 2000; start += 500) {
    const some = [];
    for (let n = start; n < start + 500; n += 1) some.push({ _id: n, payload: payload(n) });
    things.insertMany(some);
  }
  const found = things.find().sort({ _id: 1 }).batchSize(50).toArray();
  equal('documents read', 2000, found.length);
  const wrong = found.filter((one, n) => one._id !== n || one.payload !== payload(n));
  if (wrong.length > 0) fail(`document ${wrong[0]._id} carries another payload`);

  const big = 'x'.repeat(12000000);
  things.insertOne({ _id: 'big', big });
  if (things.findOne({ _id: 'big' }).big !== big) fail('the 12 MB came back changed');
  things.drop();
};
