package main

import (
	"regexp"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func pingWriteRead(f *feature, uri string, configure func(*options.ClientOptions)) error {
	client := f.clientOf(uri, configure)
	defer client.Disconnect(f.ctx)
	if err := client.Ping(f.ctx, nil); err != nil {
		return err
	}
	things := f.database(client).Collection("connect")
	inserted, err := things.InsertOne(f.ctx, bson.D{{"text", "hello"}})
	if err != nil {
		return err
	}
	var found struct{ Text string }
	if err := things.FindOne(f.ctx, bson.D{{"_id", inserted.InsertedID}}).Decode(&found); err != nil {
		return err
	}
	f.equal("document read back", "hello", found.Text)
	return nil
}

func threeTimes(f *feature, configure func(*options.ClientOptions)) {
	for range 3 {
		f.must("ping, write and read", pingWriteRead(f, f.URI, configure))
	}
}

func connect(f *feature) { threeTimes(f, nil) }

func serverAPI(f *feature) {
	threeTimes(f, func(opts *options.ClientOptions) {
		opts.SetServerAPIOptions(options.ServerAPI(options.ServerAPIVersion1))
	})
}

func serverAPIStrict(f *feature) {
	api := options.ServerAPI(options.ServerAPIVersion1).SetStrict(true).SetDeprecationErrors(true)
	client := f.client(func(opts *options.ClientOptions) { opts.SetServerAPIOptions(api) })
	db := f.database(client)
	things := db.Collection("strict")
	one := bson.D{{"_id", 1}}
	f.clear(things)
	f.insert(things, bson.D{{"_id", 1}, {"n", 1}})
	updated, err := things.UpdateOne(f.ctx, one, bson.D{{"$inc", bson.D{{"n", 1}}}})
	f.must("updateOne", err)
	f.equal("updated", int64(1), updated.ModifiedCount)
	cursor, err := things.Find(f.ctx, bson.D{})
	f.equal("found", []bson.M{{"_id": int32(1), "n": int32(2)}}, f.all("find", cursor, err))
	deleted, err := things.DeleteOne(f.ctx, one)
	f.must("deleteOne", err)
	f.equal("deleted", int64(1), deleted.DeletedCount)
	names, err := client.ListDatabaseNames(f.ctx, bson.D{})
	f.must("listDatabases", err)
	if len(names) == 0 {
		f.fail("no databases listed")
	}
	f.refused("collStats", apiStrictError, db.RunCommand(f.ctx, bson.D{{"collStats", "strict"}}).Err())
}

var passwordOf = regexp.MustCompile(`://([^:@]+):[^@]*@`)

func login(f *feature, name string) {
	right := f.uri(name)
	wrong := passwordOf.ReplaceAllString(right, "://$1:not-the-password@")
	if wrong == right {
		f.fail("the uri %q has no password", name)
	}
	f.must("the right password", pingWriteRead(f, right, nil))
	f.refused("a wrong password", authenticationFailed, pingWriteRead(f, wrong, nil))
	f.must("the right password, again", pingWriteRead(f, right, nil))
}
