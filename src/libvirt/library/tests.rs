//! Against `test:///default`: libvirt's own driver inside the library, with one running domain called `test`.

use std::ffi::{c_char, c_uint};

use libvirt_remote::Value;

use super::*;
use crate::model::HypervisorType;
use crate::source::DomainEvent;

pub(in crate::libvirt) const URI: &str = "test:///default";

fn open() -> Connection {
    Connection::open(URI).unwrap()
}

fn the_domain(connection: &Connection) -> Uuid {
    connection.list().unwrap()[0].uuid
}

/// Changes the domain through another, writable connection, which only tests open.
pub(in crate::libvirt) fn change(change: impl FnOnce(&Domain) -> Result<(), Error>) {
    ready().unwrap();
    let connect = Connect::open(Some(URI)).unwrap();
    change(&connect.lookup_domain_by_name("test").unwrap()).unwrap();
}

/// Held by tests that change the one shared domain or watch its events.
pub(in crate::libvirt) static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

#[test]
fn lists_the_running_domain_and_knows_its_driver() {
    let connection = open();
    let listed = connection.list().unwrap();
    assert_eq!((listed.len(), &*listed[0].name, listed[0].id), (1, "test", Some(1)));
    let facts = connection.facts().unwrap();
    assert_eq!(&*facts.driver, "TEST");
    assert!(!facts.host_name.is_empty());
    assert!(facts.libvirt.is_some_and(|version| version.0 > 1_000_000));
    assert!(connection.prepare().unwrap().is_some());
    connection.sign().unwrap();
    assert!(connection.is_alive());
}

#[test]
fn a_domain_that_is_not_there_is_no_error() {
    let connection = open();
    let uuid = Uuid::from_u128(7);
    assert_eq!(connection.status(uuid), Ok(None));
    assert_eq!(connection.stats(uuid, Groups::all()), Ok(None));
    assert_eq!(connection.describe(uuid), Ok(None));
    assert_eq!(connection.job(uuid), Ok(None));
}

#[test]
fn reads_statistics_and_xml() {
    let _alone = ALONE.blocking_lock();
    let connection = open();
    let uuid = the_domain(&connection);
    let stats = connection.stats(uuid, Groups::all()).unwrap().unwrap();
    assert_eq!(stats.id, Some(1));
    assert_eq!(stats.status, connection.status(uuid).unwrap());
    assert!(stats.status.unwrap().state.is_active());
    let description = connection.describe(uuid).unwrap().unwrap();
    assert_eq!(&*description.domain_type, "test");
    assert_eq!(description.hypervisor(), HypervisorType::Unknown);
}

#[test]
fn what_the_driver_does_not_have_is_said_in_libvirts_own_words() {
    let connection = open();
    let job = connection.job(the_domain(&connection));
    assert!(matches!(&job, Err(Failure::Unsupported(text)) if text.contains("virDomainGetJobStats")), "{job:?}");
    let refused = Connection::open("nonsense:///x").err().unwrap();
    assert!(matches!(&refused, Failure::Refused(text) if !text.is_empty()), "{refused:?}");
    assert!(Connection::open("test:///\0default").is_err());
}

#[test]
fn pausing_and_resuming_is_told_in_order_and_what_finds_no_room_is_counted() {
    let _alone = ALONE.blocking_lock();
    let mut connection = open();
    let (mailbox, mut told, lost) = Mailbox::new();
    connection.watch(mailbox);
    change(Domain::suspend);
    change(Domain::resume);
    let first = told.blocking_recv().unwrap();
    assert_eq!((&*first.name, first.event), ("test", DomainEvent::Suspended));
    assert_eq!(told.blocking_recv().unwrap().event, DomainEvent::Resumed { migrated: false });
    assert_eq!(lost.load(std::sync::atomic::Ordering::Relaxed), 0);

    drop(told);
    change(Domain::suspend);
    change(Domain::resume);
    let mut patience = std::iter::repeat_with(|| thread::park_timeout(LOOP_PAUSE)).take(100);
    assert!(patience.any(|()| lost.load(std::sync::atomic::Ordering::Relaxed) == 2));
}

#[test]
fn nothing_is_left_of_a_connection_that_was_dropped() {
    let _alone = ALONE.blocking_lock();
    let (mailbox, mut told, _lost) = Mailbox::new();
    let mut connection = open();
    connection.watch(mailbox);
    drop(connection);
    // The only sender was in the table of mailboxes.
    assert!(told.blocking_recv().is_none());
}

fn typed(kind: c_uint, name: &[u8], value: sys::_virTypedParameter__bindgen_ty_1) -> sys::virTypedParameter {
    let mut field = [0; 80];
    for (to, from) in field.iter_mut().zip(name) {
        *to = c_char::from_ne_bytes([*from]);
    }
    sys::virTypedParameter { field, type_: c_int::try_from(kind).unwrap(), value }
}

#[test]
fn every_type_of_parameter_is_read() {
    use sys::_virTypedParameter__bindgen_ty_1 as Raw;
    let text = c"vda \xff";
    for (kind, value, expected) in [
        (1, Raw { i: -1 }, Some(Value::Int(-1))),
        (2, Raw { ui: u32::MAX }, Some(Value::UInt(u32::MAX))),
        (3, Raw { l: i64::MIN }, Some(Value::LLong(i64::MIN))),
        (4, Raw { ul: u64::MAX }, Some(Value::ULLong(u64::MAX))),
        (5, Raw { d: 0.5 }, Some(Value::Double(0.5))),
        (6, Raw { b: 1 }, Some(Value::Boolean(true))),
        (7, Raw { s: text.as_ptr().cast_mut() }, Some(Value::Text("vda \u{fffd}".into()))),
        (7, Raw { s: null_mut() }, Some(Value::Text("".into()))),
        (99, Raw { ul: 3 }, None),
    ] {
        let parameter = typed(kind, b"a.b", value);
        let read = parameters::read(&parameter);
        assert_eq!(read.as_ref().map(|read| &read.value), expected.as_ref());
        assert!(read.is_none_or(|read| read.field == "a.b"));
    }
    // A name without a NUL fills its field.
    assert_eq!(parameters::read(&typed(1, &[b'x'; 80], Raw { i: 0 })).unwrap().field.len(), 80);
}
