package main

import (
	"context"
	"sync"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/event"
	"go.mongodb.org/mongo-driver/v2/mongo/options"
)

// watched counts what a client does, from the driver's own events.
type watched struct {
	mutex       sync.Mutex
	commands    []sentCommand
	created     int
	poolCleared int
	unknown     int
}

type sentCommand struct {
	name string
	// session is the id in the command's lsid, as bytes.
	session string
}

// watch makes a client of these options report to w.
func (w *watched) watch(opts *options.ClientOptions) {
	opts.SetMonitor(&event.CommandMonitor{Started: w.started})
	opts.SetPoolMonitor(&event.PoolMonitor{Event: w.pooled})
	opts.SetServerMonitor(&event.ServerMonitor{ServerDescriptionChanged: w.described})
}

func (w *watched) started(_ context.Context, sent *event.CommandStartedEvent) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	session := ""
	if id, err := sent.Command.LookupErr("lsid", "id"); err == nil {
		session = string(id.Value)
	}
	w.commands = append(w.commands, sentCommand{name: sent.CommandName, session: session})
}

func (w *watched) pooled(happened *event.PoolEvent) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	switch happened.Type {
	case connectionCreated:
		w.created++
	case connectionPoolCleared:
		w.poolCleared++
	}
}

func (w *watched) described(changed *event.ServerDescriptionChangedEvent) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	if kindOf(changed.PreviousDescription) != "Unknown" && kindOf(changed.NewDescription) == "Unknown" {
		w.unknown++
	}
}

// forget starts the list of commands anew.
func (w *watched) forget() {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.commands = nil
}

func (w *watched) sent() []sentCommand {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	return append([]sentCommand(nil), w.commands...)
}

// count is how often a command was sent.
func (w *watched) count(name string) int {
	count := 0
	for _, one := range w.sent() {
		if one.name == name {
			count++
		}
	}
	return count
}

// hasSession tells whether the command belonged to the session of this lsid.
func (s sentCommand) hasSession(lsid bson.Raw) bool {
	return s.session == string(lsid.Lookup("id").Value)
}
