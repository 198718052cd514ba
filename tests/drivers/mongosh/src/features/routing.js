/* global features, emptyCollection, database, equal, fail, refused, rejected, withOption, plan */

/** Every member shows them. */
function writtenEverywhere(name) {
  const w = plan.secondaries ? 3 : 1;
  const things = emptyCollection(name);
  for (const _id of [1, 2, 3]) things.insertOne({ _id }, { writeConcern: { w } });
}

features['read-preference'] = function () {
  writtenEverywhere('read_preference');
  const things = database(withOption(plan.uri, 'serverSelectionTimeoutMS=2000')).read_preference;
  const read = (mode, tags) => things.find().readPref(mode, tags).toArray().length;
  equal('secondaryPreferred', 3, read('secondaryPreferred'));
  equal('nearest', 3, read('nearest'));
  if (!plan.secondaries) return;
  equal('secondary', 3, read('secondary'));
  equal('tags', 3, read('secondary', [{ region: 'east' }]));
  equal('falling back to {}', 3, read('secondary', [{ region: 'nowhere' }, {}]));
  const began = Date.now();
  const nowhere = () => read('secondary', [{ region: 'nowhere' }]);
  if (plan.face === 'direct') rejected('tags that match no member', nowhere);
  else refused('tags that match no member', 133, nowhere);
  const took = Date.now() - began;
  if (took > 3000) fail(`tags that match no member: the error came after ${took} ms`);
};

features['max-staleness'] = function () {
  writtenEverywhere('max_staleness');
  const within = (seconds) =>
    database(withOption(plan.uri, `readPreference=secondaryPreferred&maxStalenessSeconds=${seconds}`))
      .max_staleness.find().toArray().length;
  equal('read with 90 s', 3, within(90));
  const error = rejected('read with 1 s', () => within(1));
  if (!/staleness/i.test(error.message)) fail(`not about staleness: ${error.message}`);
};
