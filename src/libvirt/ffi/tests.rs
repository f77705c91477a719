//! Against `test:///default`: libvirt's own driver inside the library, with one running domain called `test`.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::libvirt::{domain_xml, raw::TEXT_MAX};
use crate::model::HypervisorType;

const URI: &str = "test:///default";

/// Tests that count this process' descriptors or wait for events of the domain that they all share.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open() -> Connection {
    Connection::open(URI).unwrap()
}

fn the_domain(connection: &mut Connection) -> Uuid {
    connection.list().unwrap()[0].uuid
}

struct Forward(mpsc::SyncSender<(String, RawEvent)>);

impl Sink for Forward {
    fn domain(&self, _: Uuid, name: Arc<str>, event: RawEvent) {
        let _ = self.0.try_send((name.to_string(), event));
    }
    fn closed(&self, _: i32) {}
}

#[test]
fn lists_the_running_domain_and_knows_its_daemon() {
    let mut connection = open();
    let listed = connection.list().unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(&*listed[0].name, "test");
    assert_eq!(listed[0].id, Some(1));
    let facts = connection.facts().unwrap();
    assert_eq!(&*facts.driver, "TEST");
    assert!(!facts.host_name.is_empty());
    assert!(facts.libvirt.is_some_and(|version| version.0 > 1_000_000));
    connection.capabilities().unwrap();
    connection.ping().unwrap();
    assert!(connection.is_alive());
}

#[test]
fn reads_statistics_as_owned_parameters() {
    let _alone = alone();
    let mut connection = open();
    let uuid = the_domain(&mut connection);
    let stats = connection.stats(uuid, Groups::all()).unwrap().unwrap();
    assert_eq!(stats.id, Some(1));
    let state = stats.parameters.iter().find(|parameter| parameter.name == "state.state").unwrap();
    assert_eq!(state.value, ParameterValue::Int(1));
    assert_eq!(connection.state(uuid).unwrap().unwrap().0, 1);
}

#[test]
fn a_domain_that_is_not_there_is_no_error() {
    let mut connection = open();
    let uuid = Uuid::from_u128(7);
    assert_eq!(connection.state(uuid), Ok(None));
    assert_eq!(connection.stats(uuid, Groups::all()), Ok(None));
    assert_eq!(connection.xml(uuid), Ok(None));
    assert!(connection.handles.is_empty());
}

#[test]
fn the_xml_tells_a_type_that_is_none_of_ours() {
    let mut connection = open();
    let uuid = the_domain(&mut connection);
    let description = domain_xml::parse(&connection.xml(uuid).unwrap().unwrap()).unwrap();
    assert_eq!(&*description.domain_type, "test");
    assert_eq!(description.hypervisor(), HypervisorType::Unknown);
}

#[test]
fn an_error_is_libvirts_own_sentence() {
    let failure = Connection::open("nonsense:///x").err().unwrap();
    assert!(!failure.message.is_empty() && failure.code != 0, "{failure:?}");
    assert!(Connection::open("test:///\0default").is_err());
}

/// Changes the domain through a second connection, one that may write: only a test may have it.
fn change(change: impl FnOnce(&Domain) -> Result<(), virt::error::Error>) {
    initialise().unwrap();
    let connect = Connect::open(Some(URI)).unwrap();
    change(&connect.lookup_domain_by_name("test").unwrap()).unwrap();
}

#[test]
fn pausing_and_resuming_is_reported() {
    let _alone = alone();
    let (sender, receiver) = mpsc::sync_channel(16);
    let mut connection = open();
    connection.watch(Arc::new(Forward(sender.clone()))).unwrap();
    assert!(connection.watch(Arc::new(Forward(sender))).is_err(), "once per connection");
    change(Domain::suspend);
    change(Domain::resume);
    let mut events = Vec::new();
    for _ in 0..2 {
        let (name, event) = receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(name, "test");
        let RawEvent::Lifecycle { event, .. } = event else { panic!("{event:?}") };
        events.push(event);
    }
    assert_eq!(events, [3, 4], "suspended, resumed");
}

#[test]
fn a_panicking_sink_is_survived() {
    struct Panics(mpsc::SyncSender<()>);
    impl Sink for Panics {
        fn domain(&self, _: Uuid, _: Arc<str>, _: RawEvent) {
            let _ = self.0.try_send(());
            // As a panic, without its message.
            std::panic::resume_unwind(Box::new("on purpose"));
        }
        fn closed(&self, _: i32) {}
    }
    let _alone = alone();
    let (sender, receiver) = mpsc::sync_channel(16);
    let mut connection = open();
    connection.watch(Arc::new(Panics(sender))).unwrap();
    for _ in 0..2 {
        change(Domain::suspend);
        change(Domain::resume);
        for _ in 0..2 {
            receiver.recv_timeout(Duration::from_secs(10)).unwrap();
        }
    }
}

#[test]
fn nothing_is_left_of_a_connection_that_was_closed() {
    let _alone = alone();
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let sinks_before = sinks().by_number.len();
    let cycle = || {
        let (sender, _receiver) = mpsc::sync_channel(16);
        let mut connection = open();
        connection.watch(Arc::new(Forward(sender))).unwrap();
        let uuid = the_domain(&mut connection);
        connection.stats(uuid, Groups::all()).unwrap();
    };
    // The driver is one for the whole process, and keeps connections that are closed while it delivers an event to
    // another test's.
    let kept = || UNRELEASED.load(Relaxed);
    let quiet = std::iter::repeat_with(|| {
        let before = kept();
        std::thread::park_timeout(Duration::from_millis(10));
        cycle();
        kept() == before
    });
    assert!(quiet.take(1000).any(|quiet| quiet));
    let (before, kept_before) = (descriptors(), kept());
    for _ in 0..50 {
        cycle();
    }
    assert_eq!(sinks().by_number.len(), sinks_before);
    assert_eq!(kept(), kept_before, "libvirt has kept connections that were closed");
    // Other tests have descriptors of their own meanwhile; those of a leak (a hundred) would not go away.
    let mut patience = std::iter::repeat_with(|| std::thread::park_timeout(Duration::from_millis(100))).take(300);
    let settled = patience.any(|()| descriptors() < before + 20);
    assert!(settled, "{before} descriptors became {}", descriptors());
}

fn typed(kind: u32, name: &[u8], value: sys::_virTypedParameter__bindgen_ty_1) -> sys::virTypedParameter {
    let mut field = [0; 80];
    for (to, from) in field.iter_mut().zip(name) {
        *to = c_char::from_ne_bytes([*from]);
    }
    sys::virTypedParameter { field, type_: c_int::try_from(kind).unwrap(), value }
}

#[test]
fn every_type_of_parameter_is_copied() {
    use sys::_virTypedParameter__bindgen_ty_1 as Value;
    let text = c"vda \xff";
    for (kind, value, expected) in [
        (1, Value { i: -1 }, ParameterValue::Int(-1)),
        (2, Value { ui: u32::MAX }, ParameterValue::UInt(u32::MAX)),
        (3, Value { l: i64::MIN }, ParameterValue::Llong(i64::MIN)),
        (4, Value { ul: u64::MAX }, ParameterValue::Ullong(u64::MAX)),
        (5, Value { d: 0.5 }, ParameterValue::Double(0.5)),
        (6, Value { b: 1 }, ParameterValue::Boolean(true)),
        (7, Value { s: text.as_ptr().cast_mut() }, ParameterValue::Text("vda \u{fffd}".to_owned())),
        (7, Value { s: null_mut() }, ParameterValue::Text(String::new())),
        (99, Value { ul: 3 }, ParameterValue::Unknown(99)),
    ] {
        assert_eq!(copy_one(&typed(kind, b"a.b", value)), Parameter { name: "a.b".to_owned(), value: expected });
    }
}

#[test]
fn a_name_without_an_end_and_an_endless_text_are_cut() {
    use sys::_virTypedParameter__bindgen_ty_1 as Value;
    assert_eq!(copy_one(&typed(1, &[b'x'; 80], Value { i: 0 })).name.len(), 80);
    let text = std::ffi::CString::new(vec![b'y'; 1 << 20]).unwrap();
    let parameter = copy_one(&typed(7, b"n", Value { s: text.as_ptr().cast_mut() }));
    assert_eq!(parameter.value, ParameterValue::Text("y".repeat(TEXT_MAX)));
}
