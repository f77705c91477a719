use bytes::{Bytes, BytesMut};

use super::*;
use crate::limits::{REPLACED_MAX, STRING_MAX};

fn written(write: impl FnOnce(&mut Writer<'_>)) -> Bytes {
    let mut buffer = BytesMut::new();
    write(&mut Writer::new(&mut buffer));
    buffer.freeze()
}

#[test]
fn what_is_written_reads_back() {
    for text in ["", "a", "ab", "abc", "abcd", "émoi"] {
        let bytes = written(|writer| {
            writer.bytes(text.as_bytes());
            writer.i32(-1);
            writer.array(&[1; 16]);
            Some(5).encode(writer);
            None::<i32>.encode(writer);
        });
        assert_eq!(bytes.len() % 4, 0, "{text:?} is padded");
        let mut reader = Reader::new(&bytes);
        assert_eq!(reader.text(STRING_MAX).unwrap(), text);
        assert_eq!(reader.i32().unwrap(), -1);
        assert_eq!(reader.array::<16>().unwrap(), [1; 16]);
        assert!(reader.is_some().unwrap());
        assert_eq!(reader.i32().unwrap(), 5);
        assert!(!reader.is_some().unwrap());
        assert!(reader.finish().is_ok());
    }
}

#[test]
fn numbers_have_the_widths_and_the_order_of_the_wire() {
    let bytes =
        Bytes::from_static(&[0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 1, 0, 0x3f, 0xe0, 0, 0, 0, 0, 0, 0]);
    let mut reader = Reader::new(&bytes);
    assert_eq!(reader.u32().unwrap(), 1);
    assert_eq!(reader.i32().unwrap(), -1);
    assert_eq!(reader.u64().unwrap(), 256);
    assert_eq!(reader.f64().unwrap(), 0.5);
    assert_eq!(reader.u32(), Err(Malformed::Truncated { missing: 4 }));
}

#[test]
fn of_a_text_so_much_is_kept_and_what_is_no_text_is_replaced() {
    for (bytes, most, expected) in [
        (&b"a\xffb"[..], 9, "a\u{fffd}b"),
        (b"a\xffb", 3, "a"),
        (b"\xff\xff\xff", 3, "\u{fffd}"),
        (b"web", 3, "web"),
        (b"web", 2, "we"),
        (b"web", 0, ""),
        // é is two bytes, the clef is four.
        (b"\xc3\xa9t\xc3\xa9", 4, "ét"),
        (b"a\xf0\x9d\x84\x9e", 4, "a"),
        (b"a\xf0\x9d\x84\x9e", 5, "a\u{1d11e}"),
        // Continuation bytes without a first byte.
        (b"\x80\x80\x80\x80\x80", 4, "\u{fffd}"),
    ] {
        let body = written(|writer| writer.bytes(bytes));
        let mut reader = Reader::new(&body);
        assert_eq!(reader.text(most).unwrap(), expected, "{most} of {bytes:?}");
        assert_eq!(reader.remaining(), 0, "all of it is read");
    }
}

/// Whatever its bytes, a text costs only what is kept.
#[test]
fn bytes_that_are_no_text_are_replaced_in_so_many_places() {
    let bytes = written(|writer| writer.bytes(&vec![0xff; STRING_MAX]));
    assert_eq!(Reader::new(&bytes).text(STRING_MAX).unwrap(), "\u{fffd}".repeat(REPLACED_MAX));
    let bytes = written(|writer| writer.bytes(&b"a\xff".repeat(100)));
    assert_eq!(Reader::new(&bytes).text(STRING_MAX).unwrap(), "a\u{fffd}".repeat(REPLACED_MAX));
}

#[test]
fn a_count_is_held_against_what_is_there() {
    let bytes = written(|writer| {
        writer.count(3);
        writer.array(&[0; 16]);
    });
    assert_eq!(Reader::new(&bytes).count(10, 4), Ok(3));
    assert_eq!(Reader::new(&bytes).count(2, 4), Err(Malformed::TooMany { count: 3, limit: 2 }));
    assert_eq!(Reader::new(&bytes).count(10, 8), Err(Malformed::TooMany { count: 3, limit: 2 }));
}

#[test]
fn what_is_shared_lies_in_the_frame() {
    let bytes = written(|writer| writer.bytes(b"document"));
    let shared = Reader::new(&bytes).shared().unwrap();
    assert_eq!(&shared[..], b"document");
    assert_eq!(shared.as_ptr(), bytes[4..].as_ptr());
}
