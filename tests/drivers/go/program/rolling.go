package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const loadPause = 5 * time.Millisecond

// target is one way to the same database.
type target struct {
	Name string `json:"name"`
	URI  string `json:"uri"`
}

// loadResult is one line of output: what the workers of one target did.
type loadResult struct {
	Target     string         `json:"target"`
	Operations int            `json:"operations"`
	Errors     map[string]int `json:"errors"`
	SlowestMs  int64          `json:"slowestMs"`
	Inserted   int            `json:"inserted"`
	Increments int            `json:"increments"`
	Many       int            `json:"many"`
	Pairs      int            `json:"pairs"`
	lock       sync.Mutex
}

// attempt tries one operation; whatever it returns, the application saw it.
func (r *loadResult) attempt(what string, work func() error, counts *int, by int) {
	start := time.Now()
	err := work()
	took := time.Since(start).Milliseconds()
	r.lock.Lock()
	defer r.lock.Unlock()
	r.Operations++
	r.SlowestMs = max(r.SlowestMs, took)
	if err != nil {
		r.Errors[fmt.Sprintf("%s: %.300s", what, err.Error())]++
	} else if counts != nil {
		*counts += by
	}
}

// loadWorker is one of several that share a client.
type loadWorker struct {
	client   *mongo.Client
	database *mongo.Database
	name     string
	result   *loadResult
}

func (w *loadWorker) work(stop string) error {
	ctx := context.Background()
	things, counters := w.database.Collection("things"), w.database.Collection("counters")
	counter := bson.D{{"_id", w.name}}
	if _, err := counters.InsertOne(ctx, bson.D{{"_id", w.name}, {"one", bson.A{}}, {"many", bson.A{}}}); err != nil {
		return err
	}
	for n := 0; !exists(stop); n++ {
		add := func(field string) bson.D { return bson.D{{"$push", bson.D{{field, n}}}} }
		which := fmt.Sprintf("%s-%d", w.name, n)
		r := w.result
		r.attempt("insert", func() error {
			return second(things.InsertOne(ctx, bson.D{{"_id", which}}))
		}, &r.Inserted, 1)
		r.attempt("find", func() error { return things.FindOne(ctx, bson.D{{"_id", which}}).Err() }, nil, 0)
		r.attempt("update", func() error {
			return second(counters.UpdateOne(ctx, counter, add("one")))
		}, &r.Increments, 1)
		switch n % 3 {
		case 0:
			r.attempt("updateMany", func() error {
				return second(counters.UpdateMany(ctx, counter, add("many")))
			}, &r.Many, 1)
		case 1:
			r.attempt("cursor", func() error { return batches(ctx, things) }, nil, 0)
		default:
			r.attempt("transaction", func() error { return w.pair(ctx, which) }, &r.Pairs, 2)
		}
		time.Sleep(loadPause)
	}
	return nil
}

func (w *loadWorker) pair(ctx context.Context, which string) error {
	session, err := w.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.Background())
	pairs := w.database.Collection("pairs")
	return runTransaction(ctx, session, func(ctx context.Context) error {
		for _, end := range []string{"-a", "-b"} {
			if _, err := pairs.InsertOne(ctx, bson.D{{"_id", which + end}}); err != nil {
				return err
			}
		}
		return nil
	}, options.Transaction())
}

func batches(ctx context.Context, things *mongo.Collection) error {
	cursor, err := things.Find(ctx, bson.D{}, options.Find().SetLimit(7).SetBatchSize(2))
	if err != nil {
		return err
	}
	var found []bson.M
	if err := cursor.All(ctx, &found); err != nil {
		return err
	}
	if len(found) > 7 {
		return fmt.Errorf("too many: %d", len(found))
	}
	return nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

func runRolling(wanted *plan, lines *json.Encoder) error {
	var results []*loadResult
	var clients []*mongo.Client
	var working sync.WaitGroup
	failed := make(chan error, len(wanted.Targets)*wanted.Workers)
	for _, to := range wanted.Targets {
		client, err := connectTo(options.Client().ApplyURI(to.URI))
		if err != nil {
			return err
		}
		result := &loadResult{Target: to.Name, Errors: map[string]int{}}
		for number := range wanted.Workers {
			name := fmt.Sprintf("%s-%d", to.Name, number)
			worker := loadWorker{client, client.Database(wanted.Database), name, result}
			working.Add(1)
			go func() {
				defer working.Done()
				failed <- worker.work(wanted.Stop)
			}()
		}
		results, clients = append(results, result), append(clients, client)
	}
	working.Wait()
	close(failed)
	var all error
	for err := range failed {
		all = errors.Join(all, err)
	}
	for at, client := range clients {
		all = errors.Join(all, client.Disconnect(context.Background()), lines.Encode(results[at]))
	}
	return all
}
