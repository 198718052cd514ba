/* global features, database, equal, fail, refused, uriNamed */

function pingWriteRead(uri, api) {
  const db = database(uri, api);
  equal('ping', 1, db.runCommand({ ping: 1 }).ok);
  const { insertedId } = db.connect.insertOne({ text: 'hello' });
  equal('document read back', 'hello', db.connect.findOne({ _id: insertedId })?.text);
  db.getMongo().close();
}

features.connect = function () {
  for (let round = 0; round < 3; round += 1) pingWriteRead();
};

features['server-api'] = function () {
  for (let round = 0; round < 3; round += 1) pingWriteRead(undefined, { version: '1' });
};

features['server-api-strict'] = function () {
  const db = database(undefined, { version: '1', strict: true, deprecationErrors: true });
  db.strict.deleteMany({});
  db.strict.insertOne({ _id: 1, n: 1 });
  equal('updated', 1, db.strict.updateOne({ _id: 1 }, { $inc: { n: 1 } }).modifiedCount);
  equal('found', [{ _id: 1, n: 2 }], db.strict.find().toArray());
  equal('deleted', 1, db.strict.deleteOne({ _id: 1 }).deletedCount);
  if (db.adminCommand({ listDatabases: 1 }).databases.length === 0) fail('no databases listed');
  refused('collStats', 323, () => db.runCommand({ collStats: 'strict' }));
};

function login(name) {
  const right = uriNamed(name);
  const wrong = right.replace(/:\/\/([^:@]+):[^@]*@/, '://$1:not-the-password@');
  if (wrong === right) fail(`the uri "${name}" has no password`);
  pingWriteRead(right);
  refused('a wrong password', 18, () => pingWriteRead(wrong));
  pingWriteRead(right);
}

features['scram-sha-256'] = function () {
  login('sha256');
};
features['scram-sha-1'] = function () {
  login('sha1');
};
