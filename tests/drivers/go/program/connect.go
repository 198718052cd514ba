package main

// A program that has its connection string from its environment, as the shim leaves it.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
	"go.mongodb.org/mongo-driver/v2/mongo/readpref"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver/connstring"
)

// connectResult is one line of output.
type connectResult struct {
	ID       string  `json:"id"`
	Outcome  string  `json:"outcome"`
	Database string  `json:"database"`
	Weir     *string `json:"weir"`
	Message  string  `json:"message"`
}

func runConnect(wanted *plan, lines *json.Encoder) error {
	for _, each := range wanted.Cases {
		line := connectResult{ID: each.ID, Outcome: "ok"}
		if err := connectBy(os.Getenv(each.Variable), &line); err != nil {
			line.Outcome, line.Message = "error", err.Error()
		}
		if err := lines.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func connectBy(uri string, line *connectResult) error {
	ctx, cancel := context.WithTimeout(context.Background(), probeLimit)
	defer cancel()
	parsed, err := connstring.ParseAndValidate(uri)
	if err != nil {
		return err
	}
	client, err := connectTo(options.Client().ApplyURI(uri))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx)
	line.Database = cmp.Or(parsed.Database, "test")
	var hello struct{ Weir *string }
	if err := client.Database("admin").RunCommand(ctx, bson.D{{"hello", 1}}).Decode(&hello); err != nil {
		return err
	}
	line.Weir = hello.Weir
	primary := options.Collection().SetReadPreference(readpref.Primary())
	return writeAndRead(ctx, client.Database(line.Database).Collection("shim", primary), line.ID)
}

func writeAndRead(ctx context.Context, things *mongo.Collection, text string) error {
	inserted, err := things.InsertOne(ctx, bson.D{{"text", text}})
	if err != nil {
		return err
	}
	var found struct{ Text string }
	if err := things.FindOne(ctx, bson.D{{"_id", inserted.InsertedID}}).Decode(&found); err != nil {
		return err
	}
	if found.Text != text {
		return errors.New("what was written is not what is read")
	}
	return nil
}
