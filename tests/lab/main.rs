//! Tests against real daemons.

fn main() {}
