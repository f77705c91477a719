module virt-otel/lab/victoriametrics

go 1.26.0

require github.com/VictoriaMetrics/VictoriaMetrics v1.136.23
