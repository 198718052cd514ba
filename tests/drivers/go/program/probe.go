package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

const probeLimit = 25 * time.Second

// plannedCase is a case of a probe, or of connecting.
type plannedCase struct {
	ID       string `json:"id"`
	Class    string `json:"class"`
	URI      string `json:"uri"`
	Variable string `json:"variable"`
}

// probeResult is one line of output.
type probeResult struct {
	ID          string   `json:"id"`
	Outcome     string   `json:"outcome"`
	Attempts    int      `json:"attempts"`
	Bodies      int      `json:"bodies"`
	Code        *int     `json:"code"`
	Labels      []string `json:"labels"`
	Network     bool     `json:"network"`
	PoolCleared int      `json:"poolCleared"`
	Unknown     int      `json:"unknown"`
	Millis      int64    `json:"ms"`
	Message     string   `json:"message"`
}

// probe is one case while it runs.
type probe struct {
	ctx    context.Context
	client *mongo.Client
	things *mongo.Collection
	bodies int
}

var classes = map[string]struct {
	counts string
	run    func(*probe) error
}{
	"RD":  {"find", func(p *probe) error { return p.things.FindOne(p.ctx, bson.D{}).Err() }},
	"RW":  {"insert", func(p *probe) error { return p.insertOne(p.ctx) }},
	"NW":  {"update", func(p *probe) error { return second(p.things.UpdateMany(p.ctx, bson.D{}, increment)) }},
	"TX":  {"update", func(p *probe) error { return p.byHand(true, true) }},
	"TXW": {"insert", (*probe).convenient},
	"CM":  {"commitTransaction", func(p *probe) error { return p.byHand(false, true) }},
	"CMW": {"commitTransaction", (*probe).convenient},
	"AB":  {"abortTransaction", func(p *probe) error { return p.byHand(false, false) }},
	"GM":  {"getMore", (*probe).fiveDocuments},
	"CS":  {"aggregate", (*probe).threeEvents},
}

func second[T any](_ T, err error) error { return err }

func (p *probe) insertOne(ctx context.Context) error {
	return second(p.things.InsertOne(ctx, bson.D{{"n", 1}}))
}

// byHand inserts in a transaction, updates too if told so, then commits or aborts.
func (p *probe) byHand(update, commit bool) error {
	session, err := p.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.Background())
	if err := session.StartTransaction(); err != nil {
		return err
	}
	inside := mongo.NewSessionContext(p.ctx, session)
	if err := p.insertOne(inside); err != nil {
		return err
	}
	if update {
		if _, err := p.things.UpdateOne(inside, bson.D{}, increment); err != nil {
			return err
		}
	}
	if commit {
		return session.CommitTransaction(p.ctx)
	}
	return session.AbortTransaction(p.ctx)
}

func (p *probe) convenient() error {
	session, err := p.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.Background())
	return runTransaction(p.ctx, session, func(ctx context.Context) error {
		p.bodies++
		return p.insertOne(ctx)
	}, options.Transaction())
}

func (p *probe) fiveDocuments() error {
	cursor, err := p.things.Find(p.ctx, bson.D{}, options.Find().SetBatchSize(2))
	if err != nil {
		return err
	}
	var found []bson.M
	if err := cursor.All(p.ctx, &found); err != nil {
		return err
	}
	if len(found) != 5 {
		return fmt.Errorf("expected 5 documents, got %d", len(found))
	}
	return nil
}

func (p *probe) threeEvents() error {
	stream, err := p.things.Watch(p.ctx, mongo.Pipeline{})
	if err != nil {
		return err
	}
	defer stream.Close(context.Background())
	for range 3 {
		if !stream.Next(p.ctx) {
			return stream.Err()
		}
	}
	return nil
}

func runProbe(wanted *plan, lines *json.Encoder) error {
	for _, each := range wanted.Cases {
		line, err := runCase(each)
		if err != nil {
			return err
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func runCase(wanted plannedCase) (probeResult, error) {
	class, known := classes[wanted.Class]
	if !known {
		return probeResult{}, fmt.Errorf("unknown class %q", wanted.Class)
	}
	seen := &watched{}
	parsed, err := connstring.ParseAndValidate(wanted.URI)
	if err != nil {
		return probeResult{}, err
	}
	opts := options.Client().ApplyURI(wanted.URI)
	seen.watch(opts)
	client, err := connectTo(opts)
	if err != nil {
		return probeResult{}, err
	}
	// Not a deadline: with one, this driver retries until it is over and not once.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	limit := time.AfterFunc(probeLimit, cancel)
	defer limit.Stop()
	p := &probe{ctx: ctx, client: client, things: client.Database(cmp.Or(parsed.Database, "test")).Collection("probe")}
	began := time.Now()
	err = class.run(p)
	line := probeResult{
		ID: wanted.ID, Outcome: "ok", Attempts: seen.count(class.counts), Bodies: p.bodies,
		Labels: []string{}, Millis: time.Since(began).Milliseconds(),
	}
	if err != nil {
		line.Outcome, line.Message = "error", err.Error()
		line.Code, line.Labels, line.Network = codeOf(err), labelsOf(err), mongo.IsNetworkError(err)
	}
	// What a change of the topology causes may be reported a moment after the error.
	closing, done := context.WithTimeout(context.Background(), 2*time.Second)
	defer done()
	_ = client.Disconnect(closing)
	seen.mutex.Lock()
	defer seen.mutex.Unlock()
	line.PoolCleared, line.Unknown = seen.poolCleared, seen.unknown
	return line, nil
}
