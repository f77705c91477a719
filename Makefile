# The commands of the project. Each is a script or a cargo command that can be run by itself.

.DEFAULT_GOAL := help
.PHONY: help demo test lint bench docs manifests lab weaver flicker test-versions image package test-ship test-backends test-node test-arm64 pictures release

# How many of the lab's tests run at the same time.
LAB_THREADS ?= 2
# The same for make test-versions, most of whose tests wait.
VERSIONS_THREADS ?= 6
# make demo ONCE=1: verify the demo and end, instead of staying until Ctrl-C.
ONCE ?=

help: ## List the targets
	@awk 'BEGIN { FS = ":.*## " } /^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## Three VMs, the agent and a Collector, to look at until Ctrl-C (ONCE=1: verify and end)
	@ONCE=$(ONCE) scripts/demo.sh

test: ## Everything that must pass: lint, documentation, licences, tests, lab
	@LAB_THREADS=$(LAB_THREADS) scripts/test.sh

lint: ## Format, clippy and the shell scripts, with what is installed
	scripts/lint-shell.sh
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench: ## Measure: what a reading, an encoding and a scrape cost (docs/benchmarks.md)
	tests/lab/prepare.sh packages peers apiserver collector
	cargo bench --locked

docs: ## Render docs/ and otel/registry from the code, then rustdoc
	@# A test that finds a stale file rewrites it and fails: the second run must find nothing.
	cargo test --locked --test contract || cargo test --locked --test contract
	cargo doc --locked --no-deps

manifests: ## Render deploy/kubernetes from the Helm chart
	tests/lab/prepare.sh packages helm
	@# As above.
	cargo test --locked --test lab chart:: || cargo test --locked --test lab chart::

image: ## Build the container image and check it (TWICE=1 ENGINE=docker RUST_IMAGE=)
	@TWICE=$(TWICE) ENGINE=$(ENGINE) RUST_IMAGE=$(RUST_IMAGE) scripts/image.sh

package: ## Build the .deb and the .rpm and check them (TWICE=1)
	@TWICE=$(TWICE) scripts/package.sh

test-ship: ## Install the packages on hosts with Debian 12 and 13, and start the unit there
	@scripts/ship.sh

lab: ## Only the tests with real daemons, after preparing them
	tests/lab/prepare.sh all
	cargo test --locked --test lab -- --test-threads=$(LAB_THREADS)

weaver: ## OpenTelemetry's weaver judges the registry and what is sent (WEAVER=program)
	@scripts/weaver.sh

flicker: ## Repeat the built tests to find those that fail now and then (N=20 STRESS=4)
	@N=$(N) STRESS=$(STRESS) LAB_THREADS=$(LAB_THREADS) ONLY=$(ONLY) scripts/flicker.sh

test-versions: ## The lab's tests of libvirt on newer versions of it (N=5 VERSIONS=unstable)
	@N=$(N) VERSIONS="$(VERSIONS)" LAB_THREADS=$(VERSIONS_THREADS) scripts/versions.sh

test-backends: ## The configurations for backends and fleets, with vendors' exporters and VictoriaMetrics
	@scripts/backends.sh

test-node: ## Install the agent on real Kubernetes nodes and try it there (ONLY=sidecar:: KEEP=1)
	@ONLY="$(ONLY)" KEEP=$(KEEP) scripts/node.sh

test-arm64: ## Compile for arm64 and run the tests that need no other program, emulated
	@scripts/arm64.sh

pictures: ## Draw the pictures of the documents in a browser, from live VMs
	tests/lab/prepare.sh packages guest collector prometheus browser perses
	mkdir -p docs/pictures
	PICTURES=$(CURDIR)/docs/pictures cargo test --locked --test lab -- --ignored --test-threads=1 status:: pictures::

release: ## What must pass before a release, beside make test
	@TWICE=1 scripts/image.sh
	@TWICE=1 scripts/package.sh
	@scripts/ship.sh
	@scripts/backends.sh
	@LAB_THREADS=$(VERSIONS_THREADS) scripts/versions.sh
	@scripts/node.sh
	@scripts/arm64.sh
