//go:build v1

package main

// What has another shape in version 1 of the driver than in version 2.

import (
	"context"
	"errors"
	"io"
	"time"

	"go.mongodb.org/mongo-driver/bson"
	"go.mongodb.org/mongo-driver/event"
	"go.mongodb.org/mongo-driver/mongo"
	"go.mongodb.org/mongo-driver/mongo/description"
	"go.mongodb.org/mongo-driver/mongo/gridfs"
	"go.mongodb.org/mongo-driver/mongo/options"
)

const (
	connectionCreated     = event.ConnectionCreated
	connectionPoolCleared = event.PoolCleared
)

func connectTo(opts *options.ClientOptions) (*mongo.Client, error) {
	return mongo.Connect(context.Background(), opts)
}

func kindOf(server description.Server) string {
	return server.Kind.String()
}

func runTransaction(ctx context.Context, session mongo.Session, body func(context.Context) error,
	opts *options.TransactionOptions) error {
	_, err := session.WithTransaction(ctx, func(ctx mongo.SessionContext) (any, error) {
		return nil, body(ctx)
	}, opts)
	return err
}

func distinctStrings(ctx context.Context, things *mongo.Collection, field string) ([]string, error) {
	values, err := things.Distinct(ctx, field, bson.D{})
	var texts []string
	for _, value := range values {
		if text, is := value.(string); is {
			texts = append(texts, text)
		}
	}
	return texts, err
}

func dropIndex(ctx context.Context, things *mongo.Collection, name string) error {
	_, err := things.Indexes().DropOne(ctx, name)
	return err
}

// unacknowledgedError is the error that says only that nobody answered.
func unacknowledgedError(err error) bool {
	return errors.Is(err, mongo.ErrUnacknowledgedWrite)
}

const hasClientBulkWrite = false

func bulkWriteOver(context.Context, *mongo.Client, string, string, string) (inserted, modified int64, err error) {
	return 0, 0, errors.New("version 1 has no bulkWrite of the client")
}

type bucket struct{ *gridfs.Bucket }

func openBucket(db *mongo.Database, name string) (bucket, error) {
	opened, err := gridfs.NewBucket(db, options.GridFSBucket().SetName(name))
	if err != nil {
		return bucket{}, err
	}
	// Where it takes no context, this bucket goes by deadlines of its own.
	limit := time.Now().Add(featureLimit)
	return bucket{opened}, errors.Join(opened.SetReadDeadline(limit), opened.SetWriteDeadline(limit))
}

func (b bucket) upload(_ context.Context, name string, content io.Reader) (any, error) {
	return b.UploadFromStream(name, content)
}

func (b bucket) download(_ context.Context, id any, into io.Writer) error {
	_, err := b.DownloadToStream(id, into)
	return err
}

func (b bucket) downloadByName(_ context.Context, name string, into io.Writer) error {
	_, err := b.DownloadToStreamByName(name, into)
	return err
}

func (b bucket) rename(ctx context.Context, id any, name string) error {
	return b.RenameContext(ctx, id, name)
}

func (b bucket) delete(ctx context.Context, id any) error {
	return b.DeleteContext(ctx, id)
}

func upsert() *options.UpdateOptions {
	return options.Update().SetUpsert(true)
}
