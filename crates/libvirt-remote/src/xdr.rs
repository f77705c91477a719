//! The part of XDR (RFC 4506) that libvirt's protocol uses: six primitives, and what is built from them.
//!
//! A number that a peer announces allocates nothing: counts are checked against the bytes that are there.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use read::kept;
pub use read::{Decode, Malformed, Reader};
pub use write::{Encode, Writer};

/// How many bytes pad a length to a multiple of four.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
