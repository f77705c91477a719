#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod address;
mod connection;
mod domain;
mod error;
mod event;
mod frame;
mod keepalive;
pub mod limits;
mod parameter;
pub mod procedure;
mod room;
mod text;
pub mod transport;
pub mod xdr;

pub use address::Address;
pub use connection::{Connection, Ticket, Waiting};
pub use domain::Domain;
pub use error::{End, Error, LibvirtError, Violation};
pub use event::{DomainEvent, Event, EventKind};
pub use keepalive::Keepalive;
pub use parameter::{Parameter, Parameters, Value};
pub use room::{Bounds, Room};
pub use text::Text;
