//! `virt-otel metrics`: the catalogue.
