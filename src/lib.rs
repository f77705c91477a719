//! virt-otel.
