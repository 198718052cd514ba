package main

// Seven classes of work, again and again, and what the application saw of each operation.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

const (
	// After the stop an operation may still take so long; then it counts as never answered.
	loadPatience = 45 * time.Second
	// An event that has not come by then is lost.
	eventLimit = 60 * time.Second
	loadRows   = 50
)

// loadLine is one operation, or something that happened to the pool.
type loadLine struct {
	Class   string  `json:"class,omitempty"`
	Pool    string  `json:"pool,omitempty"`
	At      float64 `json:"at"`
	Millis  float64 `json:"ms"`
	Error   *string `json:"error"`
	Message string  `json:"message,omitempty"`
	Counter string  `json:"counter,omitempty"`
	Number  int     `json:"number,omitempty"`
}

// wrong is an answer that cannot be right.
type wrong string

func (w wrong) Error() string { return string(w) }

// load is the whole program at work.
type load struct {
	plan    *plan
	client  *mongo.Client
	db      *mongo.Database
	lines   *json.Encoder
	mutex   sync.Mutex
	running map[string]loadLine
}

// operation is what one worker does; it returns a line with what it writes.
type operation func(number int) (loadLine, func(context.Context) error)

func wallClock() float64 { return float64(time.Now().UnixMicro()) / 1000 }

func (l *load) say(line loadLine) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	_ = l.lines.Encode(line)
}

func (l *load) stopped() bool {
	_, err := os.Stat(l.plan.Stop)
	return err == nil
}

func (l *load) pause() { time.Sleep(time.Duration(l.plan.PauseMillis) * time.Millisecond) }

// described is what an application sees: the driver's name for it and the server's code.
func described(err error) string {
	var answer wrong
	if errors.As(err, &answer) {
		return "Wrong"
	}
	name := fmt.Sprintf("%T", err)
	switch {
	case mongo.IsTimeout(err):
		name = "timeout"
	case mongo.IsNetworkError(err):
		name = "network error"
	}
	if code := codeOf(err); code != nil {
		return fmt.Sprintf("%s %d", name, *code)
	}
	return name
}

func matchedOne(result *mongo.UpdateResult, err error) error {
	if err == nil && result.MatchedCount != 1 {
		return wrong(fmt.Sprintf("matched %d", result.MatchedCount))
	}
	return err
}

func (l *load) increment(kind string, worker, number int) (loadLine, bson.D, bson.D) {
	counter := fmt.Sprintf("%s-%s-%d-%d", l.plan.Name, kind, worker, number%l.plan.Counters)
	change := bson.D{{"$inc", bson.D{{"n", 1}}}, {"$push", bson.D{{"applied", number}}}}
	return loadLine{Counter: counter, Number: number}, bson.D{{"_id", counter}}, change
}

func (l *load) writing(kind string, worker int,
	write func(ctx context.Context, which, change bson.D) error) operation {
	return func(number int) (loadLine, func(context.Context) error) {
		line, which, change := l.increment(kind, worker, number)
		return line, func(ctx context.Context) error { return write(ctx, which, change) }
	}
}

func reading(read func(ctx context.Context, number int) error) operation {
	return func(number int) (loadLine, func(context.Context) error) {
		return loadLine{}, func(ctx context.Context) error { return read(ctx, number) }
	}
}

func (l *load) readOne(ctx context.Context, number int) error {
	return l.db.Collection("rows").FindOne(ctx, bson.D{{"_id", number % loadRows}}).Err()
}

// readPlainly is a read that the driver does not retry.
func (l *load) readPlainly(ctx context.Context, number int) error {
	var reply struct {
		Cursor struct {
			FirstBatch []bson.Raw `bson:"firstBatch"`
		} `bson:"cursor"`
	}
	find := bson.D{{"find", "rows"}, {"filter", bson.D{{"_id", number % loadRows}}}, {"singleBatch", true}}
	err := l.db.RunCommand(ctx, find).Decode(&reply)
	if err == nil && len(reply.Cursor.FirstBatch) != 1 {
		return wrong("not one row")
	}
	return err
}

func (l *load) transact(ctx context.Context, which, change bson.D) error {
	session, err := l.client.StartSession()
	if err != nil {
		return err
	}
	defer session.EndSession(context.Background())
	return runTransaction(ctx, session, func(ctx context.Context) error {
		if err := l.readOne(ctx, 1); err != nil {
			return err
		}
		return matchedOne(l.db.Collection("counters").UpdateOne(ctx, which, change))
	}, options.Transaction())
}

func (l *load) readAll(ctx context.Context, _ int) error {
	cursor, err := l.db.Collection("rows").Find(ctx, bson.D{},
		options.Find().SetBatchSize(10).SetSort(bson.D{{"_id", 1}}))
	if err != nil {
		return err
	}
	defer cursor.Close(context.Background())
	seen := 0
	for cursor.Next(ctx) {
		if id := int(cursor.Current.Lookup("_id").AsInt64()); id != seen {
			return wrong(fmt.Sprintf("row %d instead of %d", id, seen))
		}
		if seen++; seen%10 == 0 {
			l.pause()
		}
	}
	if err := cursor.Err(); err != nil {
		return err
	}
	if seen != loadRows {
		return wrong(fmt.Sprintf("%d rows", seen))
	}
	return nil
}

// act is the operation of a worker.
func (l *load) act(kind string, worker int) operation {
	counters := l.db.Collection("counters")
	switch kind {
	case "PR":
		return reading(l.readPlainly)
	case "RD":
		return reading(l.readOne)
	case "RW":
		return l.writing(kind, worker, func(ctx context.Context, which, change bson.D) error {
			return matchedOne(counters.UpdateOne(ctx, which, change))
		})
	case "NW":
		return l.writing(kind, worker, func(ctx context.Context, which, change bson.D) error {
			return matchedOne(counters.UpdateMany(ctx, which, change))
		})
	case "TX":
		return l.writing(kind, worker, l.transact)
	case "CU":
		return reading(l.readAll)
	}
	things := l.db.Collection(fmt.Sprintf("events-%s-%d", l.plan.Name, worker))
	stream := &loadStream{things: things, awaited: map[int]bool{}}
	return reading(stream.passOn)
}

func (l *load) work(kind string, worker int, done *sync.WaitGroup) {
	defer done.Done()
	act := l.act(kind, worker)
	key := fmt.Sprintf("%s-%d", kind, worker)
	for number := 1; !l.stopped(); number++ {
		line, operate := act(number)
		line.Class, line.At = kind, wallClock()
		l.mutex.Lock()
		l.running[key] = line
		l.mutex.Unlock()
		began := time.Now()
		if err := operate(context.Background()); err != nil {
			text := described(err)
			line.Error, line.Message = &text, err.Error()
			if len(line.Message) > 200 {
				line.Message = line.Message[:200]
			}
		}
		line.Millis = float64(time.Since(began).Microseconds()) / 1000
		l.mutex.Lock()
		delete(l.running, key)
		l.mutex.Unlock()
		l.say(line)
		l.pause()
	}
}

// loadStream inserts numbered documents and waits for the event of each: none is lost, none
// comes twice.
type loadStream struct {
	things  *mongo.Collection
	stream  *mongo.ChangeStream
	token   bson.Raw
	last    int
	awaited map[int]bool
}

func (s *loadStream) passOn(ctx context.Context, number int) error {
	if s.stream == nil {
		opts := options.ChangeStream()
		if s.token == nil {
			clear(s.awaited)
		} else {
			opts.SetResumeAfter(s.token)
		}
		stream, err := s.things.Watch(ctx, mongo.Pipeline{}, opts)
		if err != nil {
			return err
		}
		s.stream = stream
	}
	if _, err := s.things.InsertOne(ctx, bson.D{{"_id", number}}); err != nil {
		return err
	}
	s.awaited[number] = true
	end := time.Now().Add(eventLimit)
	for s.last < number {
		if !s.stream.TryNext(ctx) {
			if err := s.stream.Err(); err != nil {
				s.stream = nil
				return err
			}
			if time.Now().After(end) {
				return wrong(fmt.Sprintf("event %d was lost", number))
			}
			continue
		}
		if err := s.note(); err != nil {
			return err
		}
	}
	return nil
}

func (s *loadStream) note() error {
	s.token = s.stream.ResumeToken()
	seen := int(s.stream.Current.Lookup("documentKey", "_id").AsInt64())
	if seen <= s.last {
		return wrong(fmt.Sprintf("event %d came twice", seen))
	}
	s.last = seen
	delete(s.awaited, seen)
	for each := range s.awaited {
		if each < seen {
			return wrong(fmt.Sprintf("event %d was lost", each))
		}
	}
	return nil
}

func runLoad(wanted *plan, lines *json.Encoder) error {
	l := &load{plan: wanted, lines: lines, running: map[string]loadLine{}}
	pool := func(seen *event.PoolEvent) {
		switch seen.Type {
		case connectionCreated:
			l.say(loadLine{Pool: "created", At: wallClock()})
		case connectionPoolCleared:
			l.say(loadLine{Pool: "cleared", At: wallClock()})
		}
	}
	client, err := connectTo(options.Client().ApplyURI(wanted.URI).
		SetPoolMonitor(&event.PoolMonitor{Event: pool}))
	if err != nil {
		return err
	}
	l.client, l.db = client, client.Database(wanted.Database)
	var all sync.WaitGroup
	for _, kind := range wanted.Classes {
		for worker := range wanted.Workers {
			all.Add(1)
			go l.work(kind, worker, &all)
		}
	}
	for !l.stopped() {
		time.Sleep(50 * time.Millisecond)
	}
	ended := make(chan struct{})
	go func() {
		all.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-time.After(loadPatience):
	}
	l.mutex.Lock()
	left := l.running
	l.running = map[string]loadLine{}
	l.mutex.Unlock()
	for _, line := range left {
		text := "no answer"
		line.Error, line.Millis = &text, wallClock()-line.At
		l.say(line)
	}
	return nil
}
