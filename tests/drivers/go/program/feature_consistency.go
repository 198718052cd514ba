package main

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readconcern"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

func causal(f *feature) {
	client := f.client(nil)
	preference := readpref.Primary()
	if f.Secondaries {
		preference = readpref.SecondaryPreferred()
	}
	things := f.database(client).Collection("causal", options.Collection().
		SetReadConcern(readconcern.Majority()).
		SetWriteConcern(writeconcern.Majority()).
		SetReadPreference(preference))
	f.clear(things)
	session, err := client.StartSession(options.Session().SetCausalConsistency(true))
	f.must("startSession", err)
	inside := mongo.NewSessionContext(f.ctx, session)
	one := bson.D{{"_id", 1}}
	for n := range 50 {
		set := bson.D{{"$set", bson.D{{"n", n}}}}
		_, err := things.UpdateOne(inside, one, set, upsert())
		f.must("updateOne", err)
		var found struct{ N int }
		f.must("findOne", things.FindOne(inside, one).Decode(&found))
		f.equal("own write read back", n, found.N)
	}
	session.EndSession(f.ctx)
}

func snapshot(f *feature) {
	client := f.client(nil)
	things := f.database(client).Collection("snapshot",
		options.Collection().SetWriteConcern(writeconcern.Majority()))
	f.clear(things)
	f.insert(things, bson.D{{"_id", 1}, {"state", "old"}})
	session, err := client.StartSession(options.Session().SetSnapshot(true))
	f.must("startSession", err)
	inside := mongo.NewSessionContext(f.ctx, session)
	one := bson.D{{"_id", 1}}
	seen := func(ctx context.Context) string {
		var found struct{ State string }
		f.must("findOne", things.FindOne(ctx, one).Decode(&found))
		return found.State
	}
	f.equal("first read of the session", "old", seen(inside))
	_, err = things.UpdateOne(f.ctx, one, bson.D{{"$set", bson.D{{"state", "new"}}}})
	f.must("updateOne", err)
	f.equal("read of the session after the write", "old", seen(inside))
	f.equal("read outside the session", "new", seen(f.ctx))
	session.EndSession(f.ctx)
}
