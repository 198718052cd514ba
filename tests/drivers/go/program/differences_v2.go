//go:build !v1

package main

// What has another shape in version 2 of the driver than in version 1.

import (
	"context"
	"io"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	connectionCreated     = event.ConnectionCreated
	connectionPoolCleared = event.ConnectionPoolCleared
)

func connectTo(opts *options.ClientOptions) (*mongo.Client, error) {
	return mongo.Connect(opts)
}

func kindOf(server event.ServerDescription) string {
	return server.Kind
}

func runTransaction(ctx context.Context, session *mongo.Session, body func(context.Context) error,
	opts *options.TransactionOptionsBuilder) error {
	_, err := session.WithTransaction(ctx, func(ctx context.Context) (any, error) {
		return nil, body(ctx)
	}, opts)
	return err
}

func distinctStrings(ctx context.Context, things *mongo.Collection, field string) ([]string, error) {
	var values []string
	err := things.Distinct(ctx, field, bson.D{}).Decode(&values)
	return values, err
}

func dropIndex(ctx context.Context, things *mongo.Collection, name string) error {
	return things.Indexes().DropOne(ctx, name)
}

// unacknowledgedError is the error that says only that nobody answered.
func unacknowledgedError(error) bool { return false }

// bulkWriteOver inserts {_id: 1} into both and sets x in the second.
func bulkWriteOver(ctx context.Context, client *mongo.Client, database, one, two string) (inserted, modified int64, err error) {
	first := bson.D{{"_id", 1}}
	set := bson.D{{"$set", bson.D{{"x", 1}}}}
	done, err := client.BulkWrite(ctx, []mongo.ClientBulkWrite{
		{Database: database, Collection: one, Model: mongo.NewClientInsertOneModel().SetDocument(first)},
		{Database: database, Collection: two, Model: mongo.NewClientInsertOneModel().SetDocument(first)},
		{Database: database, Collection: two, Model: mongo.NewClientUpdateOneModel().SetFilter(first).SetUpdate(set)},
	})
	if err != nil {
		return 0, 0, err
	}
	return done.InsertedCount, done.ModifiedCount, nil
}

const hasClientBulkWrite = true

type bucket struct{ *mongo.GridFSBucket }

func openBucket(db *mongo.Database, name string) (bucket, error) {
	return bucket{db.GridFSBucket(options.GridFSBucket().SetName(name))}, nil
}

func (b bucket) upload(ctx context.Context, name string, content io.Reader) (any, error) {
	return b.UploadFromStream(ctx, name, content)
}

func (b bucket) download(ctx context.Context, id any, into io.Writer) error {
	_, err := b.DownloadToStream(ctx, id, into)
	return err
}

func (b bucket) downloadByName(ctx context.Context, name string, into io.Writer) error {
	_, err := b.DownloadToStreamByName(ctx, name, into)
	return err
}

func (b bucket) rename(ctx context.Context, id any, name string) error {
	return b.Rename(ctx, id, name)
}

func (b bucket) delete(ctx context.Context, id any) error {
	return b.Delete(ctx, id)
}

func upsert() *options.UpdateOneOptionsBuilder {
	return options.UpdateOne().SetUpsert(true)
}
