//go:build tools

// Package tools pins kube-router, of which the nodes run the firewall that enforces NetworkPolicies: it is built by name
// from the module which this import keeps required.
package tools

import _ "github.com/cloudnativelabs/kube-router/v2/pkg/cmd"
