// What every feature works with.

/* global Mongo, EJSON, plan */

const state = { connections: [], failPointUsed: false, note: undefined };

globalThis.HOST_UNREACHABLE = 6;

globalThis.fail = (reason) => {
  throw new Error(reason);
};

globalThis.notApplicable = (reason) => {
  throw Object.assign(new Error(reason), { notApplicable: true });
};

/** The feature's line says this, also when it passes. */
globalThis.sayAlso = (note) => {
  state.note = note;
};

/** What this feature has said, once. */
globalThis.takeNote = function () {
  const { note } = state;
  state.note = undefined;
  return note;
};

globalThis.equal = (what, expected, actual) => {
  const [wanted, got] = [EJSON.stringify(expected), EJSON.stringify(actual)];
  if (wanted !== got) fail(`${what}: expected ${wanted}, got ${got}`);
};

/** The error that `action` must end with. */
globalThis.rejected = function (what, action) {
  let seen;
  try {
    action();
  } catch (error) {
    seen = error;
  }
  return seen ?? fail(`${what}: expected an error, got none`);
};

globalThis.refused = function (what, code, action) {
  const error = rejected(what, action);
  if (error.code !== code) fail(`${what}: expected code ${code}, got ${error.code} (${error.message})`);
  return error;
};

globalThis.uriNamed = (name) => plan.uris?.[name] ?? notApplicable(`the plan has no uri "${name}"`);

globalThis.withOption = (uri, option) => {
  if (uri.includes('?')) return `${uri}&${option}`;
  const hasPath = uri.slice(uri.indexOf('://') + 3).includes('/');
  return `${uri}${hasPath ? '' : '/'}?${option}`;
};

/** A connection that ends with the feature. Its name is what fail points go by. */
globalThis.connection = function (uri = plan.uri, api = undefined) {
  const mongo = new Mongo(withOption(uri, `appName=${plan.database}`), undefined, api && { api });
  state.connections.push(mongo);
  return mongo;
};

/** The plan's database through a new connection. */
globalThis.database = function (uri = plan.uri, api = undefined) {
  return connection(uri, api).getDB(plan.database);
};

globalThis.emptyCollection = function (name, uri = plan.uri) {
  const things = database(uri).getCollection(name);
  things.deleteMany({});
  return things;
};

/** Arms `failCommand` for this program's own connections. */
globalThis.failCommand = function (command, data, times = 1) {
  state.failPointUsed = true;
  configureFailCommand({
    mode: { times },
    data: { failCommands: [command], appName: plan.database, ...data },
  });
};

function configureFailCommand(how) {
  const control = new Mongo(plan.uri);
  try {
    control.getDB('admin').runCommand({ configureFailPoint: 'failCommand', ...how });
  } finally {
    control.close();
  }
}

globalThis.cleanUp = function () {
  if (state.failPointUsed) {
    state.failPointUsed = false;
    configureFailCommand({ mode: 'off' });
  }
  for (const mongo of state.connections.splice(0)) mongo.close();
};
