package main

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
)

var (
	ofCounter = bson.D{{"_id", "counter"}}
	increment = bson.D{{"$inc", bson.D{{"n", 1}}}}
	committed = options.Transaction().SetWriteConcern(writeconcern.Majority())
)

// withCounter is a client that reports what it sends, and a collection with a counter.
func withCounter(f *feature, name string) (*mongo.Client, *mongo.Collection, *watched) {
	seen := &watched{}
	client := f.client(seen.watch)
	things := f.database(client).Collection(name)
	f.clear(things)
	f.insert(things, bson.D{{"_id", "counter"}, {"n", 0}})
	return client, things, seen
}

func (f *feature) counter(things *mongo.Collection) int {
	var found struct{ N int }
	f.must("findOne", things.FindOne(f.ctx, ofCounter).Decode(&found))
	return found.N
}

func transactions(f *feature) {
	client, things, _ := withCounter(f, "transactions")
	outside := f.database(f.client(nil)).Collection("transactions")
	session, err := client.StartSession()
	f.must("startSession", err)
	inside := mongo.NewSessionContext(f.ctx, session)
	one, two := bson.D{{"_id", 1}}, bson.D{{"_id", 2}}

	f.must("startTransaction", session.StartTransaction(committed))
	_, err = things.InsertOne(inside, one)
	f.must("insertOne", err)
	_, err = things.UpdateOne(inside, ofCounter, increment)
	f.must("updateOne", err)
	f.must("own write inside", things.FindOne(inside, one).Err())
	f.equal("seen from outside before the commit", int64(0), f.count(outside, one))
	f.must("commit", session.CommitTransaction(f.ctx))
	f.equal("seen after the commit", int64(1), f.count(outside, one))
	f.equal("counter after the commit", 1, f.counter(outside))

	f.must("startTransaction", session.StartTransaction(committed))
	_, err = things.InsertOne(inside, two)
	f.must("insertOne", err)
	f.must("abort", session.AbortTransaction(f.ctx))
	f.equal("seen after the abort", int64(0), f.count(outside, two))
	session.EndSession(f.ctx)
}

func transactionRetry(f *feature) {
	client, things, seen := withCounter(f, "transaction_retry")
	session, err := client.StartSession()
	f.must("startSession", err)
	f.failCommand("commitTransaction",
		bson.M{"errorCode": hostUnreachable, "errorLabels": bson.A{"RetryableWriteError"}})
	f.must("startTransaction", session.StartTransaction(committed))
	_, err = things.UpdateOne(mongo.NewSessionContext(f.ctx, session), ofCounter, increment)
	f.must("updateOne", err)
	f.must("commit", session.CommitTransaction(f.ctx))
	session.EndSession(f.ctx)
	f.equal("commits sent", 2, seen.count("commitTransaction"))
	f.equal("counter", 1, f.counter(things))
}

func withTransaction(f *feature) {
	client, things, _ := withCounter(f, "with_transaction")
	f.failCommand("insert",
		bson.M{"errorCode": noSuchTransaction, "errorLabels": bson.A{"TransientTransactionError"}})
	session, err := client.StartSession()
	f.must("startSession", err)
	bodies := 0
	err = runTransaction(f.ctx, session, func(ctx context.Context) error {
		bodies++
		if _, err := things.InsertOne(ctx, bson.D{{"body", bodies}}); err != nil {
			return err
		}
		_, err := things.UpdateOne(ctx, ofCounter, increment)
		return err
	}, committed)
	f.must("withTransaction", err)
	session.EndSession(f.ctx)
	f.equal("runs of the body", 2, bodies)
	f.equal("counter", 1, f.counter(things))
	f.equal("documents of the body", int64(1), f.count(things, bson.D{{"body", bson.D{{"$exists", true}}}}))
}
