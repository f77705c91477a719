//go:build tools

// Package tools pins the VictoriaMetrics that a configuration for it is tried with: it is a command of the module which
// this import keeps required, and is built from it by name.
package tools

import _ "github.com/VictoriaMetrics/VictoriaMetrics/lib/storage"
