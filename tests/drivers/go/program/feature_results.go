package main

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func outMerge(f *feature) {
	db := f.database(f.client(nil))
	things, copied, merged := db.Collection("source"), db.Collection("copied"), db.Collection("merged")
	for _, each := range []*mongo.Collection{things, copied, merged} {
		f.clear(each)
	}
	for n := 1; n <= 3; n++ {
		f.insert(things, bson.D{{"_id", n}, {"n", n}})
	}
	f.insert(merged, bson.D{{"_id", 3}, {"old", true}})

	run := func(last bson.D) {
		match := bson.D{{"$match", bson.D{{"n", bson.D{{"$gt", 1}}}}}}
		cursor, err := things.Aggregate(f.ctx, mongo.Pipeline{match, last})
		f.all("aggregate", cursor, err)
	}
	read := func(from *mongo.Collection) []bson.M {
		cursor, err := from.Find(f.ctx, bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}))
		return f.all("find", cursor, err)
	}
	two := bson.M{"_id": int32(2), "n": int32(2)}
	run(bson.D{{"$out", "copied"}})
	f.equal("$out", []bson.M{two, {"_id": int32(3), "n": int32(3)}}, read(copied))
	run(bson.D{{"$merge", bson.D{{"into", "merged"}}}})
	f.equal("$merge", []bson.M{two, {"_id": int32(3), "n": int32(3), "old": true}}, read(merged))
}

func largeResults(f *feature) {
	things := f.emptyCollection("large")
	payload := func(n int) string { return strings.Repeat(fmt.Sprintf("%08d", n), 1280) }
	for start := 0; start < 2000; start += 500 {
		var some []any
		for n := start; n < start+500; n++ {
			some = append(some, bson.D{{"_id", n}, {"payload", payload(n)}})
		}
		f.insert(things, some...)
	}
	cursor, err := things.Find(f.ctx, bson.D{}, options.Find().SetSort(bson.D{{"_id", 1}}).SetBatchSize(50))
	f.must("find", err)
	read := 0
	for ; cursor.Next(f.ctx); read++ {
		var one struct {
			ID      int `bson:"_id"`
			Payload string
		}
		f.must("decode", cursor.Decode(&one))
		if one.ID != read || one.Payload != payload(read) {
			f.fail("document %d came as %d, or with another payload", read, one.ID)
		}
	}
	f.must("cursor", cursor.Err())
	f.equal("documents read", 2000, read)

	big := strings.Repeat("x", 12_000_000)
	f.insert(things, bson.D{{"_id", "big"}, {"big", big}})
	var found struct{ Big string }
	f.must("findOne", things.FindOne(f.ctx, bson.D{{"_id", "big"}}).Decode(&found))
	if found.Big != big {
		f.fail("the 12 MB came back changed")
	}
	f.must("drop", things.Drop(f.ctx))
}
