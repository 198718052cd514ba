package main

import (
	"errors"
	"slices"

	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/x/mongo/driver"
)

const (
	hostUnreachable               = 6
	authenticationFailed          = 18
	commandNotFound               = 59
	failedToSatisfyReadPreference = 133
	noSuchTransaction             = 251
	apiStrictError                = 323
	duplicateKey                  = 11000
)

// codeOf is the code that the server answered with; nil: it was no answer of a server.
func codeOf(err error) *int {
	var command mongo.CommandError
	if errors.As(err, &command) && command.Code != 0 {
		code := int(command.Code)
		return &code
	}
	var write mongo.WriteException
	if errors.As(err, &write) {
		if len(write.WriteErrors) > 0 {
			return &write.WriteErrors[0].Code
		}
		if write.WriteConcernError != nil {
			return &write.WriteConcernError.Code
		}
	}
	return handshakeCode(err)
}

// labelsOf are the labels of whatever error is inside, sorted.
func labelsOf(err error) []string {
	labels := []string{}
	var command mongo.CommandError
	var write mongo.WriteException
	switch {
	case errors.As(err, &command):
		labels = append(labels, command.Labels...)
	case errors.As(err, &write):
		labels = append(labels, write.Labels...)
	}
	slices.Sort(labels)
	// The driver adds one that the server may have sent already.
	return slices.Compact(labels)
}

// handshakeCode is the code of an error inside the handshake of a connection.
func handshakeCode(err error) *int {
	var inside driver.Error
	if !errors.As(err, &inside) || inside.Code == 0 {
		return nil
	}
	code := int(inside.Code)
	return &code
}
