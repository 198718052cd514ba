/* global features, connection, database, equal, fail, notApplicable, refused, plan */

features.sessions = function () {
  const mongo = connection();
  const session = mongo.startSession();
  const things = session.getDatabase(plan.database).sessions;
  things.deleteMany({});
  things.insertOne({ _id: 1 });
  things.updateOne({ _id: 1 }, { $set: { x: 1 } });
  equal('read in the session', { _id: 1, x: 1 }, things.findOne({ _id: 1 }));
  // The server knows the session while it lasts, under its id.
  const { id } = session.id;
  const known = mongo.getDB('config')
    .aggregate([{ $listLocalSessions: {} }, { $match: { '_id.id': id } }]).toArray();
  equal('sessions of this id on the server', 1, known.length);
  session.endSession();
  const outside = mongo.getDB(plan.database).sessions;
  for (let n = 0; n < 50; n += 1) outside.insertOne({ n });
  equal('documents of implicit sessions', 50, outside.countDocuments({ n: { $exists: true } }));
};

features.concurrent = function () {
  notApplicable('a shell does one thing at a time');
};

features.pool = function () {
  notApplicable("the shell does not show its driver's events");
};

features.commands = function () {
  const db = database();
  db.commands.deleteMany({});
  db.commands.insertOne({ _id: 1 });
  equal('ping', 1, db.runCommand({ ping: 1 }).ok);
  equal('hello: writable', true, db.hello().isWritablePrimary);
  if (!/^\d+\.\d+/.test(db.version())) fail('buildInfo has no version');
  if (!db.runCommand({ connectionStatus: 1 }).authInfo) fail('connectionStatus has no authInfo');
  equal('dbStats', plan.database, db.stats().db);
  equal('collStats', 1, db.commands.stats().count);
  if (!db.commands.find({ _id: 1 }).explain().queryPlanner) fail('explain has no queryPlanner');
  equal('listCollections with a filter', ['commands'], db.getCollectionInfos({ name: 'commands' }).map((one) => one.name));
  refused('an unknown command', 59, () => db.runCommand({ noSuchCommand: 1 }));
};

// What an operator types: the shell's own start, and a command whose value it prints.
features['server-status'] = function () {
  const { execFileSync } = require('child_process');
  const typed = ['--quiet', '--norc', '--eval', 'db.serverStatus().connections'];
  const printed = execFileSync(process.env.WEIR_SHELL, [plan.uri, ...typed], { encoding: 'utf8', timeout: 25000 });
  const current = /^\{[^]*\bcurrent: (\d+),[^]*\bavailable: \d+,[^]*\}\s*$/.exec(printed);
  if (!current || Number(current[1]) < 1) fail(`printed instead of a document: ${printed.slice(0, 300)}`);
};
