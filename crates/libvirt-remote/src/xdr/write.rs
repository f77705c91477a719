//! Writing.

use bytes::{BufMut as _, BytesMut};

use super::padding;

/// A value that can be written.
pub trait Encode {
    /// Writes it.
    fn encode(&self, writer: &mut Writer<'_>);
}

/// Writes values one after the other.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut BytesMut,
}

impl<'a> Writer<'a> {
    /// Appends to what is in the buffer.
    pub const fn new(buffer: &'a mut BytesMut) -> Self {
        Self { buffer }
    }

    /// An `unsigned int`.
    pub fn u32(&mut self, number: u32) {
        self.buffer.put_u32(number);
    }

    /// An `int`.
    pub fn i32(&mut self, number: i32) {
        self.buffer.put_i32(number);
    }

    /// A fixed-length array; its length is a multiple of four.
    pub fn array<const N: usize>(&mut self, bytes: &[u8; N]) {
        const { assert!(N.is_multiple_of(4)) };
        self.buffer.put_slice(bytes);
    }

    /// A string.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.count(bytes.len());
        self.buffer.put_slice(bytes);
        self.buffer.put_bytes(0, padding(bytes.len()));
    }

    /// The number of elements of an array. This crate never writes more than a peer accepts.
    pub fn count(&mut self, count: usize) {
        self.u32(u32::try_from(count).unwrap_or(u32::MAX));
    }
}

impl Encode for i32 {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.i32(*self);
    }
}

impl Encode for u32 {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(*self);
    }
}

impl Encode for String {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(self.as_bytes());
    }
}

impl<T: Encode> Encode for Option<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.is_some().into());
        if let Some(value) = self {
            value.encode(writer);
        }
    }
}

impl<T: Encode> Encode for Vec<T> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.count(self.len());
        for element in self {
            element.encode(writer);
        }
    }
}
