package main

// Other ways to the server than a plain one with acknowledged writes.

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

func unacknowledged(f *feature) {
	client := f.client(func(opts *options.ClientOptions) { opts.SetMaxPoolSize(5) })
	things := f.database(client).Collection("unacknowledged")
	f.clear(things)
	unanswered := f.database(client).Collection("unacknowledged",
		options.Collection().SetWriteConcern(writeconcern.Unacknowledged()))
	for id := 1; id <= 100; id++ {
		_, err := unanswered.InsertOne(f.ctx, bson.D{{"_id", id}})
		if !unacknowledgedError(err) {
			f.must("insertOne", err)
		}
	}
	f.equal("documents counted", int64(100), f.count(things, bson.D{}))
}

func compressed(f *feature, codec string) {
	db := f.database(f.client(func(opts *options.ClientOptions) { opts.SetCompressors([]string{codec}) }))
	// An offer that is not taken up would leave everything uncompressed, and unnoticed.
	var hello struct{ Compression []string }
	f.must("hello", db.Client().Database("admin").
		RunCommand(f.ctx, bson.D{{"hello", 1}, {"compression", bson.A{codec}}}).Decode(&hello))
	if !slices.Contains(hello.Compression, codec) {
		f.fail("the other side does not offer %s", codec)
	}
	things := db.Collection("compressed_" + codec)
	f.clear(things)
	text := strings.Repeat(codec+" ", 1_000_000/(len(codec)+1))
	for id := 1; id <= 3; id++ {
		f.insert(things, bson.D{{"_id", id}, {"text", fmt.Sprint(text, id)}})
	}
	cursor, err := things.Find(f.ctx, bson.D{})
	found := f.all("find", cursor, err)
	f.equal("documents", 3, len(found))
	for _, one := range found {
		if one["text"] != fmt.Sprint(text, one["_id"]) {
			f.fail("document %v came back changed", one["_id"])
		}
	}
}

func timeout(f *feature) {
	limited := f.client(func(opts *options.ClientOptions) { opts.SetTimeout(300 * time.Millisecond) })
	things := f.database(limited).Collection("timeout")
	patient := f.emptyCollection("timeout")
	f.insert(patient, bson.D{{"_id", 1}})
	// The limit is for the operation, not for the handshake before it.
	f.must("ping", limited.Ping(f.ctx, nil))
	f.failCommand("find", bson.M{"blockConnection": true, "blockTimeMS": 2000})

	began := time.Now()
	// With a deadline of its own in the context, the driver would not use the client's.
	err := things.FindOne(context.Background(), bson.D{}).Err()
	took := time.Since(began)
	if !mongo.IsTimeout(err) {
		f.fail("an operation that takes 2 s: expected a timeout, got %v", err)
	}
	if took < 250*time.Millisecond || took > 1500*time.Millisecond {
		f.fail("the timeout came after %v", took)
	}
	f.must("the next operation", things.FindOne(context.Background(), bson.D{}).Err())
}

// crudThrough does everyday things through one of the other connection strings.
func crudThrough(f *feature, endpoint string) (*mongo.Client, *mongo.Collection) {
	client := f.clientOf(f.uri(endpoint), nil)
	things := f.database(client).Collection("road_" + endpoint)
	f.clear(things)
	many := make([]any, 100)
	for n := range many {
		many[n] = bson.D{{"_id", n}, {"n", n}}
	}
	f.insert(things, many...)
	updated, err := things.UpdateMany(f.ctx, bson.D{{"n", bson.D{{"$lt", 10}}}}, increment)
	f.must("updateMany", err)
	f.equal("updated", int64(10), updated.ModifiedCount)
	cursor, err := things.Find(f.ctx, bson.D{}, options.Find().SetBatchSize(7))
	f.equal("read in many batches", 100, len(f.all("find", cursor, err)))
	deleted, err := things.DeleteOne(f.ctx, bson.D{{"_id", 0}})
	f.must("deleteOne", err)
	f.equal("deleted", int64(1), deleted.DeletedCount)
	return client, things
}

func balanced(f *feature) {
	client, things := crudThrough(f, "balanced")
	session, err := client.StartSession()
	f.must("startSession", err)
	five, fresh := bson.D{{"_id", 5}}, bson.D{{"_id", "in a transaction"}}
	err = runTransaction(f.ctx, session, func(ctx context.Context) error {
		if _, err := things.InsertOne(ctx, fresh); err != nil {
			return err
		}
		_, err := things.UpdateOne(ctx, five, bson.D{{"$set", bson.D{{"n", 500}}}})
		return err
	}, committed)
	f.must("withTransaction", err)
	session.EndSession(f.ctx)
	f.equal("updated in the transaction", int64(1), f.count(things, bson.D{{"_id", 5}, {"n", 500}}))
	f.equal("inserted in the transaction", int64(1), f.count(things, fresh))
}
