package main

import (
	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
)

// underFailures runs the operation under an error, then under a closed connection.
func underFailures(f *feature, command string, answer bson.M, operation func(*mongo.Collection, string)) {
	seen := &watched{}
	things := f.database(f.client(seen.watch)).Collection("retry_" + command)
	f.clear(things)
	f.insert(things, bson.D{{"_id", "there"}})
	failures := []struct {
		name string
		data bson.M
	}{{"errorCode", answer}, {"closeConnection", bson.M{"closeConnection": true}}}
	for _, failure := range failures {
		f.failCommand(command, failure.data)
		seen.forget()
		operation(things, failure.name)
		f.equal(command+" commands sent, "+failure.name, 2, seen.count(command))
	}
}

func retryableRead(f *feature) {
	underFailures(f, "find", bson.M{"errorCode": hostUnreachable}, func(things *mongo.Collection, _ string) {
		cursor, err := things.Find(f.ctx, bson.D{})
		f.equal("found", []bson.M{{"_id": "there"}}, f.all("find", cursor, err))
	})
}

func retryableWrite(f *feature) {
	answer := bson.M{"errorCode": hostUnreachable, "errorLabels": bson.A{"RetryableWriteError"}}
	underFailures(f, "insert", answer, func(things *mongo.Collection, what string) {
		document := bson.D{{"what", what}}
		_, err := things.InsertOne(f.ctx, document)
		f.must("insertOne", err)
		f.equal("times the document is there", int64(1), f.count(things, document))
	})
}
