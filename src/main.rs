//! The `virt-otel` command.

fn main() {}
