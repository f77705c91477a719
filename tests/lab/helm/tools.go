//go:build tools

// Package tools pins the Helm that the chart is checked and rendered with: helm is a command of the module which this
// import keeps required, and is built from it by name.
package tools

import _ "helm.sh/helm/v4/pkg/cmd"
