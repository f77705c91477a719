//! What each subcommand does.

pub mod metrics;
pub mod table;
