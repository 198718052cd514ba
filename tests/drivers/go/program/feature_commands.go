package main

import (
	"regexp"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

var versionNumber = regexp.MustCompile(`^\d+\.\d+`)

func commands(f *feature) {
	db := f.database(f.client(nil))
	things := db.Collection("commands")
	f.clear(things)
	f.insert(things, bson.D{{"_id", 1}})
	run := func(name string, value any) bson.Raw {
		reply, err := db.RunCommand(f.ctx, bson.D{{name, value}}).Raw()
		f.must(name, err)
		return reply
	}
	has := func(name string, value any, path ...string) bson.RawValue {
		found, err := run(name, value).LookupErr(path...)
		f.must(name, err)
		return found
	}
	f.equal("ping", int64(1), has("ping", 1, "ok").AsInt64())
	f.equal("hello: writable", true, has("hello", 1, "isWritablePrimary").Boolean())
	if version := has("buildInfo", 1, "version").StringValue(); !versionNumber.MatchString(version) {
		f.fail("buildInfo: version %q", version)
	}
	has("connectionStatus", 1, "authInfo", "authenticatedUsers")
	f.equal("dbStats", f.Database, has("dbStats", 1, "db").StringValue())
	f.equal("collStats", int64(1), has("collStats", "commands", "count").AsInt64())
	has("explain", bson.D{{"find", "commands"}, {"filter", bson.D{{"_id", 1}}}}, "queryPlanner", "winningPlan")
	names, err := db.ListCollectionNames(f.ctx, bson.D{{"name", "commands"}})
	f.must("listCollections", err)
	f.equal("listCollections with a filter", []string{"commands"}, names)
	f.refused("an unknown command", commandNotFound, db.RunCommand(f.ctx, bson.D{{"noSuchCommand", 1}}).Err())
}

func pool(f *feature) {
	seen := &watched{}
	things := f.database(f.client(func(opts *options.ClientOptions) { seen.watch(opts) })).Collection("pool")
	f.clear(things)
	for id := range 10 {
		one := bson.D{{"_id", id}}
		f.insert(things, one)
		f.must("findOne", things.FindOne(f.ctx, one).Err())
	}
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	if seen.created == 0 {
		f.fail("no pool event was seen")
	}
	f.equal("pools cleared", 0, seen.poolCleared)
	f.equal("servers that became Unknown", 0, seen.unknown)
}
