package main

import (
	"errors"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const clientBulkWriteVersion = 25

// bulkOutcome is what a bulk write did and where it failed.
type bulkOutcome struct {
	inserted, modified int64
	failedAt           int
	code               int
}

func bulk(f *feature) {
	things := f.emptyCollection("bulk")
	f.equal("ordered", bulkOutcome{2, 0, 2, duplicateKey}, withErrorInTheMiddle(f, things, true))
	f.equal("unordered", bulkOutcome{3, 1, 2, duplicateKey}, withErrorInTheMiddle(f, things, false))

	f.clear(things)
	many := make([]any, 10_000)
	for n := range many {
		many[n] = bson.D{{"_id", n}}
	}
	inserted, err := things.InsertMany(f.ctx, many)
	f.must("insertMany", err)
	f.equal("inserted in one call", 10_000, len(inserted.InsertedIDs))
	f.equal("counted", int64(10_000), f.count(things, bson.D{}))
}

// withErrorInTheMiddle writes four inserts of which the third repeats the first, then
// an update.
func withErrorInTheMiddle(f *feature, things *mongo.Collection, ordered bool) bulkOutcome {
	f.clear(things)
	var models []mongo.WriteModel
	for _, id := range []int{1, 2, 1, 3} {
		models = append(models, mongo.NewInsertOneModel().SetDocument(bson.D{{"_id", id}}))
	}
	models = append(models, mongo.NewUpdateOneModel().SetFilter(bson.D{{"_id", 2}}).
		SetUpdate(bson.D{{"$set", bson.D{{"x", 1}}}}))
	done, err := things.BulkWrite(f.ctx, models, options.BulkWrite().SetOrdered(ordered))
	var failed mongo.BulkWriteException
	if !errors.As(err, &failed) || len(failed.WriteErrors) != 1 {
		f.fail("bulkWrite: expected one write error, got %v", err)
	}
	first := failed.WriteErrors[0]
	return bulkOutcome{done.InsertedCount, done.ModifiedCount, first.Index, first.Code}
}

func clientBulkWrite(f *feature) {
	if !hasClientBulkWrite {
		f.notApplicable("the driver has no bulkWrite of the client")
	}
	if f.Server.MaxWireVersion < clientBulkWriteVersion {
		f.notApplicable("the server has no bulkWrite command (maxWireVersion %d)", f.Server.MaxWireVersion)
	}
	client := f.client(nil)
	one, two := f.database(client).Collection("bulk_one"), f.database(client).Collection("bulk_two")
	f.clear(one)
	f.clear(two)
	inserted, modified, err := bulkWriteOver(f.ctx, client, f.Database, one.Name(), two.Name())
	f.must("bulkWrite", err)
	f.equal("inserted and modified", [2]int64{2, 1}, [2]int64{inserted, modified})
	f.equal("the first namespace", int64(1), f.count(one, bson.D{{"_id", 1}}))
	f.equal("the second namespace", int64(1), f.count(two, bson.D{{"_id", 1}, {"x", 1}}))
}
