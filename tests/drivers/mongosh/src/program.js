// The matrix's program for the shell: every feature is a shell script, see tests/drivers/README.md.
// Started by supervise.js, which gives it the plan.

/* global Mongo, load, print, takeNote */

globalThis.plan = JSON.parse(process.env.WEIR_PLAN);
/** Name → function; the files below fill it. */
globalThis.features = {};

const files = ['support', 'connecting', 'crud', 'bulk', 'transactions', 'consistency', 'streams',
  'retries', 'routing', 'endpoints', 'commands'];
for (const name of files) load(`${__dirname}/features/${name}.js`);

function runFeature(name) {
  if (!features[name]) return { feature: name, result: 'n/a', reason: 'the program does not know it' };
  const began = Date.now();
  takeNote();
  try {
    try {
      features[name]();
    } finally {
      cleanUp();
    }
    return { feature: name, result: 'pass', reason: takeNote(), ms: Date.now() - began };
  } catch (error) {
    const result = error.notApplicable ? 'n/a' : 'fail';
    return { feature: name, result, reason: error.message || String(error) };
  }
}

database().dropDatabase();
for (const name of plan.features) print(JSON.stringify(runFeature(name)));
database().dropDatabase();
cleanUp();
