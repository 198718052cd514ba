package main

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const featureLimit = 30 * time.Second

// result is one line of output.
type result struct {
	Feature string `json:"feature"`
	Result  string `json:"result"`
	Millis  *int64 `json:"ms,omitempty"`
	Reason  string `json:"reason,omitempty"`
}

// feature is one feature while it runs. Like testing.T it ends its goroutine when
// something is not as it must be.
type feature struct {
	*plan
	ctx     context.Context
	clients []*mongo.Client
	// failPointUsed is set once a fail point has to be switched off again.
	failPointUsed bool
	result, why   string
}

// runFeatures runs the features of the plan, all of them when it names none.
func runFeatures(wanted *plan, lines *json.Encoder) error {
	if dropped := runOne(wanted, "drop", dropDatabase); dropped.Result != "pass" {
		return fmt.Errorf("the database cannot be dropped: %s", dropped.Reason)
	}
	names := wanted.Features
	if names == nil {
		names = order
	}
	for _, name := range names {
		if err := lines.Encode(runOne(wanted, name, features[name])); err != nil {
			return err
		}
	}
	runOne(wanted, "drop", dropDatabase)
	return nil
}

func runOne(wanted *plan, name string, body func(*feature)) result {
	if body == nil {
		return result{Feature: name, Result: "n/a", Reason: "the program does not know it"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), featureLimit)
	defer cancel()
	f := &feature{plan: wanted, ctx: ctx}
	began := time.Now()
	done := make(chan struct{})
	go func() {
		defer close(done)
		body(f)
		f.result = "pass"
	}()
	select {
	case <-done:
	case <-ctx.Done():
		// Whatever waits goes by ctx, and so ends now.
		<-done
		f.result, f.why = "fail", "took longer than 30 s"
	}
	millis := time.Since(began).Milliseconds()
	if err := f.cleanUp(); err != nil && f.result == "pass" {
		return result{Feature: name, Result: "fail", Reason: err.Error()}
	}
	if f.result == "pass" {
		return result{Feature: name, Result: "pass", Millis: &millis}
	}
	return result{Feature: name, Result: f.result, Reason: f.why}
}

func dropDatabase(f *feature) {
	f.must("dropDatabase", f.database(f.client(nil)).Drop(f.ctx))
}

func (f *feature) end(result, format string, args ...any) {
	f.result, f.why = result, fmt.Sprintf(format, args...)
	runtime.Goexit()
}

func (f *feature) fail(format string, args ...any)          { f.end("fail", format, args...) }
func (f *feature) notApplicable(format string, args ...any) { f.end("n/a", format, args...) }

// must ends the feature when there is an error.
func (f *feature) must(what string, err error) {
	if err != nil {
		f.fail("%s: %v", what, err)
	}
}

// equal ends the feature when got is not want.
func (f *feature) equal(what string, want, got any) {
	if !reflect.DeepEqual(want, got) {
		f.fail("%s: expected %v, got %v", what, want, got)
	}
}

// refused ends the feature unless err is the server's answer with this code.
func (f *feature) refused(what string, code int, err error) {
	if got := codeOf(err); got == nil || *got != code {
		f.fail("%s: expected code %d, got %v", what, code, err)
	}
}

// uri is one of the other connection strings.
func (f *feature) uri(name string) string {
	uri, given := f.URIs[name]
	if !given {
		f.notApplicable("the plan has no uri %q", name)
	}
	return uri
}

// client opens a client that ends with the feature; configure may be nil. Its name is
// what fail points go by.
func (f *feature) client(configure func(*options.ClientOptions)) *mongo.Client {
	return f.clientOf(f.URI, configure)
}

func (f *feature) clientOf(uri string, configure func(*options.ClientOptions)) *mongo.Client {
	opts := options.Client().ApplyURI(uri).SetAppName(f.Database)
	if configure != nil {
		configure(opts)
	}
	client, err := connectTo(opts)
	f.must("connect", err)
	f.clients = append(f.clients, client)
	return client
}

func (f *feature) database(client *mongo.Client) *mongo.Database {
	return client.Database(f.Database)
}

// emptyCollection is a collection of a new client, known to be empty.
func (f *feature) emptyCollection(name string) *mongo.Collection {
	things := f.database(f.client(nil)).Collection(name)
	f.clear(things)
	return things
}

func (f *feature) clear(things *mongo.Collection) {
	_, err := things.DeleteMany(f.ctx, bson.D{})
	f.must("deleteMany", err)
}

func (f *feature) insert(things *mongo.Collection, documents ...any) {
	_, err := things.InsertMany(f.ctx, documents)
	f.must("insertMany", err)
}

// all reads a whole cursor.
func (f *feature) all(what string, cursor *mongo.Cursor, err error) []bson.M {
	f.must(what, err)
	var documents []bson.M
	f.must(what, cursor.All(f.ctx, &documents))
	return documents
}

func (f *feature) count(things *mongo.Collection, filter any) int64 {
	count, err := things.CountDocuments(f.ctx, filter)
	f.must("countDocuments", err)
	return count
}

// failCommand arms the fail point once for this program's own clients.
func (f *feature) failCommand(command string, data bson.M) {
	f.failPointUsed = true
	data["failCommands"] = bson.A{command}
	data["appName"] = f.Database
	f.must("configureFailPoint", f.configureFailCommand(f.ctx, bson.D{{"times", 1}}, data))
}

func (f *feature) configureFailCommand(ctx context.Context, mode any, data bson.M) error {
	control, err := connectTo(options.Client().ApplyURI(f.URI))
	if err != nil {
		return err
	}
	defer control.Disconnect(ctx)
	command := bson.D{{"configureFailPoint", "failCommand"}, {"mode", mode}}
	if data != nil {
		command = append(command, bson.E{Key: "data", Value: data})
	}
	return control.Database("admin").RunCommand(ctx, command).Err()
}

func (f *feature) cleanUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), featureLimit)
	defer cancel()
	var err error
	if f.failPointUsed {
		err = f.configureFailCommand(ctx, "off", nil)
	}
	for _, client := range f.clients {
		// A feature may have closed it already.
		_ = client.Disconnect(ctx)
	}
	return err
}
