//! `virt-otel snapshot`: the table for people.
