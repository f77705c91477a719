//go:build tools

// Package tools pins the Prometheus that the lab builds: its server and promtool are commands of the module which
// these imports keep required, and are built from it by name.
package tools

import (
	_ "github.com/prometheus/prometheus/tsdb"
	_ "github.com/prometheus/prometheus/web"
)
