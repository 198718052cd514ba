// The driver matrix's program for Go: reads the plan from standard input and carries
// it out. See tests/drivers/README.md.
package main

import (
	"encoding/json"
	"fmt"
	"os"
)

// plan is what the matrix asks for.
type plan struct {
	Mode        string            `json:"mode"`
	Face        string            `json:"face"`
	URI         string            `json:"uri"`
	Database    string            `json:"database"`
	Features    []string          `json:"features"`
	URIs        map[string]string `json:"uris"`
	Secondaries bool              `json:"secondaries"`
	Server      struct {
		MaxWireVersion int `json:"maxWireVersion"`
	} `json:"server"`
	Cases   []plannedCase `json:"cases"`
	Targets []target      `json:"targets"`
	Workers int           `json:"workers"`
	Stop    string        `json:"stop"`
	// Of a load.
	Name        string   `json:"name"`
	Classes     []string `json:"classes"`
	PauseMillis int      `json:"pause_ms"`
	Counters    int      `json:"counters"`
}

func main() {
	if err := carryOut(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func carryOut() error {
	var wanted plan
	if err := json.NewDecoder(os.Stdin).Decode(&wanted); err != nil {
		return fmt.Errorf("the plan: %w", err)
	}
	lines := json.NewEncoder(os.Stdout)
	lines.SetEscapeHTML(false)
	switch wanted.Mode {
	case "features":
		return runFeatures(&wanted, lines)
	case "probe":
		return runProbe(&wanted, lines)
	case "connect":
		return runConnect(&wanted, lines)
	case "rolling":
		return runRolling(&wanted, lines)
	case "load":
		return runLoad(&wanted, lines)
	}
	return fmt.Errorf("unknown mode %q", wanted.Mode)
}
