//! The part of XDR (RFC 4506) that libvirt's protocol uses: six primitives, and what is made of them.
//!
//! Nothing is allocated for a number that a peer announces: counts are held against what is really there.

mod read;
mod write;

#[cfg(test)]
mod tests;

pub(crate) use read::kept;
pub use read::{Decode, Malformed, Reader};
pub use write::{Encode, Writer};

/// How many bytes fill a length up to a multiple of four.
const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
