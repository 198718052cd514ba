package main

import (
	"fmt"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// inParallel runs 50 tasks and ends the feature with the first error.
func inParallel(f *feature, task func(n int) error) {
	outcomes := make(chan error)
	for n := range 50 {
		go func() { outcomes <- task(n) }()
	}
	var first error
	for range 50 {
		if err := <-outcomes; err != nil && first == nil {
			first = err
		}
	}
	f.must("one of 50 tasks", first)
}

func sessions(f *feature) {
	seen := &watched{}
	client := f.client(seen.watch)
	things := f.database(client).Collection("sessions")
	f.clear(things)
	session, err := client.StartSession()
	f.must("startSession", err)
	seen.forget()
	inside := mongo.NewSessionContext(f.ctx, session)
	one := bson.D{{"_id", 1}}
	_, err = things.InsertOne(inside, one)
	f.must("insertOne", err)
	_, err = things.UpdateOne(inside, one, bson.D{{"$set", bson.D{{"x", 1}}}})
	f.must("updateOne", err)
	found := bson.M{}
	f.must("findOne", things.FindOne(inside, one).Decode(&found))
	f.equal("read in the session", bson.M{"_id": int32(1), "x": int32(1)}, found)
	f.equal("commands of the session", 3, len(seen.sent()))
	for _, sent := range seen.sent() {
		if !sent.hasSession(session.ID()) {
			f.fail("%s went with another session", sent.name)
		}
	}
	session.EndSession(f.ctx)

	inParallel(f, func(n int) error {
		_, err := things.InsertOne(f.ctx, bson.D{{"n", n}})
		return err
	})
	f.equal("documents of implicit sessions", int64(50), f.count(things, bson.D{{"n", bson.D{{"$exists", true}}}}))
	f.must("disconnect", client.Disconnect(f.ctx))
	if seen.count("endSessions") == 0 {
		f.fail("endSessions was not sent")
	}
}

func concurrent(f *feature) {
	things := f.emptyCollection("concurrent")
	inParallel(f, func(owner int) error {
		for round := range 5 {
			if err := writeAndReadOwn(f, things, owner, round); err != nil {
				return err
			}
		}
		return nil
	})
	f.equal("documents", int64(750), f.count(things, bson.D{}))
}

func writeAndReadOwn(f *feature, things *mongo.Collection, owner, round int) error {
	payload := strings.Repeat(fmt.Sprint(owner, "-"), 500)
	var documents []any
	for n := range 3 {
		documents = append(documents, bson.D{{"owner", owner}, {"round", round}, {"n", n}, {"payload", payload}})
	}
	if _, err := things.InsertMany(f.ctx, documents); err != nil {
		return err
	}
	cursor, err := things.Find(f.ctx, bson.D{{"owner", owner}, {"round", round}}, options.Find().SetBatchSize(2))
	if err != nil {
		return err
	}
	var mine []struct {
		Owner   int
		Payload string
	}
	if err := cursor.All(f.ctx, &mine); err != nil {
		return err
	}
	for _, one := range mine {
		if one.Owner != owner || one.Payload != payload {
			return fmt.Errorf("%d read the payload of another", owner)
		}
	}
	if len(mine) != 3 {
		return fmt.Errorf("%d found %d documents", owner, len(mine))
	}
	return nil
}
