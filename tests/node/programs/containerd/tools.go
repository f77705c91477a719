//go:build tools

// Package tools pins the containerd of the nodes: its daemon, its shim and ctr are commands of the module which this
// import keeps required, and are built from it by name.
package tools

import _ "github.com/containerd/containerd/v2/cmd/containerd/command"
