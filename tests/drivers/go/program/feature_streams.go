package main

import (
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

func changeStream(f *feature) {
	seen := &watched{}
	things := f.database(f.client(seen.watch)).Collection("change_stream")
	f.clear(things)
	stream, err := things.Watch(f.ctx, mongo.Pipeline{},
		options.ChangeStream().SetMaxAwaitTime(500*time.Millisecond))
	f.must("watch", err)
	var ids []int
	insertAndSee := func(from, to int) {
		for id := from; id <= to; id++ {
			f.insert(things, bson.D{{"_id", id}})
		}
		for id := from; id <= to; id++ {
			if !stream.Next(f.ctx) {
				f.fail("the stream ended after %v: %v", ids, stream.Err())
			}
			ids = append(ids, int(stream.Current.Lookup("documentKey", "_id").AsInt64()))
		}
	}
	insertAndSee(1, 3)
	f.failCommand("getMore",
		bson.M{"errorCode": hostUnreachable, "errorLabels": bson.A{"ResumableChangeStreamError"}})
	insertAndSee(4, 6)
	f.equal("events", []int{1, 2, 3, 4, 5, 6}, ids)
	if stream.TryNext(f.ctx) {
		f.fail("one event more: %v", stream.Current)
	}
	f.equal("times the stream was opened", 2, seen.count("aggregate"))
	f.must("close", stream.Close(f.ctx))
}

func tailable(f *feature) {
	db := f.database(f.client(nil))
	f.must("create", db.CreateCollection(f.ctx, "tailable",
		options.CreateCollection().SetCapped(true).SetSizeInBytes(100_000)))
	things := db.Collection("tailable")
	f.insert(things, bson.D{{"_id", 0}})
	cursor, err := things.Find(f.ctx, bson.D{},
		options.Find().SetCursorType(options.TailableAwait).SetMaxAwaitTime(500*time.Millisecond))
	f.must("find", err)

	ids := make(chan int32)
	go func() {
		defer close(ids)
		for range 4 {
			if !cursor.Next(f.ctx) {
				return
			}
			ids <- cursor.Current.Lookup("_id").Int32()
		}
	}()
	seen := []int32{<-ids}
	for id := 1; id <= 3; id++ {
		f.insert(things, bson.D{{"_id", id}})
	}
	for id := range ids {
		seen = append(seen, id)
	}
	f.must("cursor", cursor.Err())
	f.equal("documents of the tailable cursor", []int32{0, 1, 2, 3}, seen)
	f.must("close", cursor.Close(f.ctx))
	f.must("drop", things.Drop(f.ctx))
}
