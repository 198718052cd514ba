package main

import (
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/mongo/writeconcern"
	"go.mongodb.org/mongo-driver/v2/tag"
)

// writtenEverywhere writes three documents that every member shows.
func writtenEverywhere(f *feature, name string) {
	members := 1
	if f.Secondaries {
		members = 3
	}
	things := f.database(f.client(nil)).Collection(name,
		options.Collection().SetWriteConcern(&writeconcern.WriteConcern{W: members}))
	f.clear(things)
	for id := 1; id <= 3; id++ {
		f.insert(things, bson.D{{"_id", id}})
	}
}

// countThrough reads with this preference.
func countThrough(f *feature, name string, mode readpref.Mode, opts ...readpref.Option) (int, error) {
	preference, err := readpref.New(mode, opts...)
	if err != nil {
		return 0, err
	}
	client := f.client(func(opts *options.ClientOptions) { opts.SetServerSelectionTimeout(2 * time.Second) })
	things := f.database(client).Collection(name, options.Collection().SetReadPreference(preference))
	var documents []bson.M
	var cursor *mongo.Cursor
	if cursor, err = things.Find(f.ctx, bson.D{}); err == nil {
		err = cursor.All(f.ctx, &documents)
	}
	return len(documents), err
}

func region(name string) tag.Set {
	return tag.Set{{Name: "region", Value: name}}
}

func readPreference(f *feature) {
	const name = "read_preference"
	writtenEverywhere(f, name)
	three := func(what string, mode readpref.Mode, opts ...readpref.Option) {
		found, err := countThrough(f, name, mode, opts...)
		f.must(what, err)
		f.equal(what, 3, found)
	}
	three("secondaryPreferred", readpref.SecondaryPreferredMode)
	three("nearest", readpref.NearestMode)
	if !f.Secondaries {
		return
	}
	three("secondary", readpref.SecondaryMode)
	three("tags", readpref.SecondaryMode, readpref.WithTagSets(region("east")))
	three("falling back to {}", readpref.SecondaryMode, readpref.WithTagSets(region("nowhere"), tag.Set{}))

	began := time.Now()
	_, err := countThrough(f, name, readpref.SecondaryMode, readpref.WithTagSets(region("nowhere")))
	if took := time.Since(began); took > 3*time.Second {
		f.fail("tags that match no member: the answer came after %v", took)
	}
	if err == nil {
		f.fail("tags that match no member: expected an error, got none")
	}
	if f.Face != "direct" {
		f.refused("tags that match no member", failedToSatisfyReadPreference, err)
	}
}

func maxStaleness(f *feature) {
	const name = "max_staleness"
	writtenEverywhere(f, name)
	within := func(limit time.Duration) (int, error) {
		return countThrough(f, name, readpref.SecondaryPreferredMode, readpref.WithMaxStaleness(limit))
	}
	found, err := within(90 * time.Second)
	f.must("read with 90 s", err)
	f.equal("read with 90 s", 3, found)
	_, err = within(time.Second)
	if err == nil || !strings.Contains(strings.ToLower(err.Error()), "staleness") {
		f.fail("read with 1 s: expected an error about staleness, got %v", err)
	}
}
