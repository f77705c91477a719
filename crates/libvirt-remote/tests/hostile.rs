//! A hostile or broken daemon: whatever it sends or leaves unread, only its connection ends, with a reason.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[allow(dead_code, reason = "a toolbox: not every test uses every tool")]
mod support;

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use libvirt_remote::limits::{
    FRAME_DEADLINE, LONG, REPLACED_MAX, STRING_MAX, TEXT_MAX, UNASKED_BURST, UNASKED_PER_SECOND, WRITE_DEADLINE,
    XML_ANSWER_MAX,
};
use libvirt_remote::procedure::{
    Call, ConnectGetAllDomainStats, ConnectGetType, ConnectListAllDomains, DomainGetXmlDesc, Procedure,
};
use libvirt_remote::{Bounds, Connection, End, Error, Event, EventKind, Keepalive, Room, Value};
use support::{
    Daemon, KEEPALIVE, MESSAGE, REMOTE, REPLY, Received, SOCKET, domain, frame, opened, ping, reply, within,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

/// The result of a call that the daemon answers with `answer`.
async fn answered<C: Call>(
    call: &C,
    answer: impl FnOnce(&Received) -> Vec<u8> + Send + 'static,
) -> Result<C::Answer, Error> {
    let (mut libvirt, mut daemon) = opened().await;
    let daemon = tokio::spawn(async move {
        let call = daemon.receive().await.unwrap();
        daemon.send(&answer(&call)).await;
        daemon
    });
    let answer = within(libvirt.call(call)).await;
    drop(libvirt);
    assert!(within(daemon).await.is_ok());
    answer
}

fn xml() -> DomainGetXmlDesc {
    DomainGetXmlDesc { domain: domain("web"), flags: 0 }
}

fn stats() -> ConnectGetAllDomainStats {
    ConnectGetAllDomainStats { domains: vec![domain("web")], stats: 0, flags: 0 }
}

/// How many unsolicited frames may be taken in this time.
fn allowed(time: Duration) -> u64 {
    u64::from(UNASKED_BURST) + u64::from(UNASKED_PER_SECOND) * (time.as_secs() + 1)
}

/// The call failed with these words in its reason.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Error>, expected: &str) {
    let error = answer.expect_err(expected);
    assert!(matches!(error, Error::Ended(End::Violation(_))), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(expected), "{expected:?} is not in: {said}");
}

#[tokio::test(start_paused = true)]
async fn a_length_that_no_message_has_ends_it() {
    for length in [0, 3, 27, 33_554_437, 0x7fff_ffff, 0xffff_ffff_u32] {
        let answer = answered(&xml(), move |_| length.to_be_bytes().to_vec()).await;
        refused(answer, &format!("a message of {length} bytes"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_belongs_to_nothing_ends_it() {
    let words = |change: fn(&mut [u32; 7])| {
        move |call: &Received| {
            let mut words = [28, REMOTE, 1, call.procedure, REPLY, call.serial, 0];
            change(&mut words);
            words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>()
        }
    };
    for (change, expected) in [
        ((|words| words[1] = 0x1234_5678) as fn(&mut [u32; 7]), "the program 0x12345678"),
        (|words| words[2] = 2, "version 2"),
        (|words| words[3] = 15, "procedure 15"),
        (|words| words[4] = 0, "type 0"),
        (|words| words[4] = 3, "type 3"),
        (|words| words[4] = 77, "type 77"),
        (|words| words[5] += 1, "an answer to call"),
        (|words| words[6] = 2, "status 2"),
        (|words| words[6] = 99, "status 99"),
    ] {
        refused(answered(&xml(), words(change)).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_answer_and_one_before_the_call_end_it() {
    let (mut libvirt, mut daemon) = opened().await;
    let (first, ()) = tokio::join!(libvirt.call(&ConnectGetType {}), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&Daemon::proper(&call).repeat(2)).await;
    });
    assert!(first.is_ok());
    refused(within(libvirt.call(&ConnectGetType {})).await, "was not made or has been answered");

    let (mut libvirt, mut daemon) = opened().await;
    daemon.send(&frame(REMOTE, 3, REPLY, 3, 0, &[0, 0, 0, 0])).await;
    let end = within(libvirt.next_event()).await.unwrap_err();
    assert!(end.to_string().contains("an answer to call 3"), "{end}");
}

#[tokio::test(start_paused = true)]
async fn announced_numbers_reserve_nothing() {
    let huge = |call: &Received| reply(call, &[0xff; 64]);
    refused(
        answered(&ConnectListAllDomains { need_results: 1, flags: 0 }, huge).await,
        "announces 4294967295 elements",
    );
    refused(answered(&stats(), huge).await, "announces 4294967295 elements");
    refused(answered(&xml(), huge).await, "announces a text of 4294967295 bytes");
    // A text longer than its message.
    refused(
        answered(&xml(), |call| reply(call, &[0, 0, 1, 0, b'<'])).await,
        "a text of 256 bytes where 1 are possible",
    );
}

#[tokio::test(start_paused = true)]
async fn parameters_that_cannot_be_end_it() {
    let record = |count: usize, write: &dyn Fn(&mut libvirt_remote::xdr::Writer<'_>)| {
        let body = support::body(|writer| {
            use libvirt_remote::xdr::Encode as _;
            writer.count(1);
            domain("web").encode(writer);
            writer.count(count);
            write(writer);
        });
        move |call: &Received| reply(call, &body)
    };
    let unknown = record(1, &|writer| {
        writer.bytes(b"a.b");
        writer.i32(99);
        writer.u32(0);
    });
    refused(answered(&stats(), unknown).await, "a typed parameter of type 99");
    let long = record(1, &|writer| {
        writer.bytes(&[b'a'; 80]);
        writer.i32(1);
        writer.u32(0);
    });
    refused(answered(&stats(), long).await, "a text of 80 bytes where 79 are possible");
    let many = record(262_145, &|writer| {
        for _ in 0..262_145 {
            writer.bytes(b"");
            writer.i32(1);
            writer.u32(0);
        }
    });
    refused(answered(&stats(), many).await, "announces 262145 elements where 262144 are possible");
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_as_long_as_the_protocol_says_and_no_byte_longer() {
    let document =
        |length: usize| move |call: &Received| reply(call, &support::body(|writer| writer.bytes(&vec![b' '; length])));
    let longest = answered(&xml(), document(XML_ANSWER_MAX - 4)).await.unwrap();
    assert_eq!(longest.len(), 4_194_304);
    refused(answered(&xml(), document(XML_ANSWER_MAX - 3)).await, "as the answer to virDomainGetXMLDesc, where");
    // Errors and events have a lower limit than documents.
    const LONG: &[u8] = &[0; 300_000];
    let error = answered(&xml(), |call| frame(REMOTE, call.procedure, REPLY, call.serial, 1, LONG)).await;
    refused(error, "300000 bytes as the answer to virDomainGetXMLDesc, where 262144 are allowed");
    refused(answered(&xml(), |_| frame(REMOTE, 318, MESSAGE, 0, 0, LONG)).await, "an event of 300000 bytes");
}

/// The longest possible texts, none of them UTF-8: each is validated only when asked for, and only as far as it is
/// kept.
#[tokio::test(start_paused = true)]
async fn texts_that_are_none_are_not_converted_as_they_come() {
    let none = || vec![0xff; STRING_MAX];
    let document = answered(&xml(), move |call| reply(call, &support::body(|writer| writer.bytes(&none())))).await;
    let document = document.unwrap();
    assert_eq!(document.len(), STRING_MAX);
    assert!(document.to_str().is_err());

    let record = support::body(|writer| {
        use libvirt_remote::xdr::Encode as _;
        writer.count(1);
        domain("web").encode(writer);
        writer.count(2);
        for text in [none(), vec![b'a'; STRING_MAX - 1_024]] {
            writer.bytes(b"block.0.path");
            writer.i32(7);
            writer.bytes(&text);
        }
    });
    let records = answered(&stats(), move |call| reply(call, &record)).await.unwrap();
    let values: Vec<_> = records.0[0].parameters.iter().map(|parameter| parameter.value).collect();
    let kept = ["\u{fffd}".repeat(REPLACED_MAX), "a".repeat(TEXT_MAX)];
    assert_eq!(values, kept.map(|text| Value::Text(text.into())));
}

#[tokio::test(start_paused = true)]
async fn a_keepalive_message_that_is_none_ends_it() {
    for message in [
        frame(KEEPALIVE, 3, MESSAGE, 0, 0, &[]),
        frame(KEEPALIVE, 1, REPLY, 0, 0, &[]),
        frame(KEEPALIVE, 1, MESSAGE, 0, 0, &[0; 4]),
    ] {
        refused(answered(&xml(), move |_| message).await, "neither a PING nor a PONG");
    }
}

#[tokio::test(start_paused = true)]
async fn a_malformed_event_ends_it() {
    let (mut libvirt, mut daemon) = opened().await;
    let (registered, ()) = tokio::join!(libvirt.register(EventKind::Lifecycle), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&reply(&call, &[0, 0, 0, 1])).await;
    });
    assert!(registered.unwrap());
    daemon.send(&frame(REMOTE, 318, MESSAGE, 0, 0, &[0, 0, 0, 1, 0, 0])).await;
    let end = within(libvirt.next_event()).await.unwrap_err();
    assert!(end.to_string().contains("an event (procedure 318) is malformed"), "{end}");
    assert!(matches!(libvirt.send(&xml()), Err(Error::Ended(_))), "it stays ended");
}

#[tokio::test(start_paused = true)]
async fn a_byte_a_second_is_too_slow() {
    let (mut libvirt, mut daemon) = opened().await;
    let started = Instant::now();
    tokio::spawn(async move {
        let call = daemon.receive().await.unwrap();
        for byte in Daemon::proper(&call) {
            if !daemon.send(&[byte]).await {
                return;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    let error = within(libvirt.call(&xml())).await.unwrap_err();
    assert!(matches!(error, Error::Ended(End::Unfinished)), "{error:?}");
    assert_eq!(started.elapsed(), FRAME_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_reads_nothing_is_given_up() {
    // A stream that is full after 64 bytes, like a socket.
    let (client, server) = tokio::io::duplex(64);
    let started = Instant::now();
    let opening = tokio::spawn(async move { Connection::open(client, &format!("qemu:///{}", "x".repeat(200))).await });
    let mut daemon = Daemon(server);
    let auth = daemon.receive().await.unwrap();
    daemon.send(&reply(&auth, &[0, 0, 0, 1, 0, 0, 0, 0])).await;
    let error = within(opening).await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Ended(End::NotReading)), "{error:?}");
    assert_eq!(started.elapsed(), WRITE_DEADLINE);
    drop(daemon);
}

/// A stream that accepts every write, but sends nothing while it is stuck: TLS over a full socket.
struct KeepsBack {
    stream: tokio::io::DuplexStream,
    stuck: Arc<AtomicBool>,
    /// Bytes that it accepted while stuck.
    kept: usize,
}

impl AsyncRead for KeepsBack {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, room)
    }
}

impl AsyncWrite for KeepsBack {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        if self.stuck.load(Ordering::Relaxed) {
            self.kept += bytes.len();
            return Poll::Ready(Ok(bytes.len()));
        }
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if self.kept > 0 && self.stuck.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        self.kept = 0;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

/// A connection over such a stream, which is not stuck yet.
async fn kept_back() -> (Connection<KeepsBack>, Arc<AtomicBool>, Daemon) {
    let (client, server) = tokio::io::duplex(SOCKET);
    let stuck = Arc::new(AtomicBool::new(false));
    let stream = KeepsBack { stream: client, stuck: Arc::clone(&stuck), kept: 0 };
    let mut daemon = Daemon(server);
    let (libvirt, ()) = tokio::join!(Connection::open(stream, "qemu:///system"), daemon.welcome());
    (libvirt.unwrap(), stuck, daemon)
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_takes_everything_and_sends_nothing_is_given_up() {
    let (mut libvirt, stuck, _daemon) = kept_back().await;
    stuck.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let error = within(libvirt.call(&ConnectGetType {})).await.unwrap_err();
    assert!(matches!(error, Error::Ended(End::NotReading)), "{error:?}");
    assert_eq!(started.elapsed(), WRITE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn what_such_a_stream_takes_meanwhile_is_no_excuse() {
    let (mut libvirt, stuck, _daemon) = kept_back().await;
    // The stream accepts each of these PINGs.
    let interval = Duration::from_secs(2);
    libvirt.keep_alive(Some(Keepalive { interval, count: 100 }));
    let started = Instant::now();
    stuck.store(true, Ordering::Relaxed);
    let end = within(libvirt.next_event()).await.unwrap_err();
    assert!(matches!(end, End::NotReading), "{end}");
    assert_eq!(started.elapsed(), interval + WRITE_DEADLINE);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_sends_in_the_end_is_kept() {
    let (mut libvirt, stuck, mut daemon) = kept_back().await;
    for _ in 0..5 {
        stuck.store(true, Ordering::Relaxed);
        let ticket = libvirt.send(&ConnectGetType {}).unwrap();
        let waited = tokio::time::timeout(WRITE_DEADLINE * 9 / 10, libvirt.next_event()).await;
        assert!(waited.is_err(), "{waited:?}");
        stuck.store(false, Ordering::Relaxed);
        // The stream has discarded what it kept; its answer is made up.
        let serial = format!("{ticket:?}").split([' ', ')']).find_map(|word| word.parse().ok()).unwrap();
        let procedure = ConnectGetType::PROCEDURE.number;
        let call = Received { program: REMOTE, procedure, serial, body: Vec::new() };
        daemon.send(&Daemon::proper(&call)).await;
        assert!(within(libvirt.receive(ticket)).await.is_ok());
    }
}

#[tokio::test(start_paused = true)]
async fn pings_without_end_are_neither_queued_nor_an_excuse() {
    let (mut libvirt, daemon) = opened().await;
    // The peer reads nothing, and sends PINGs as fast as it can.
    let (reads_nothing, mut writes) = tokio::io::split(daemon.0);
    let flood = tokio::spawn(async move {
        let pings = ping().repeat(1_000);
        let mut sent = 0_u64;
        while writes.write_all(&pings).await.is_ok() {
            sent += 1_000;
        }
        sent
    });
    let started = Instant::now();
    let end = within(libvirt.next_event()).await.unwrap_err();
    assert!(matches!(end, End::NotReading), "{end}");
    let took = started.elapsed();
    drop(libvirt);
    drop(reads_nothing);
    let sent = within(flood).await.unwrap();
    // Unprocessed input and the stream's buffer hold no more than a few thousand.
    assert!(sent < allowed(took) + 5_000, "{sent} PINGs were taken in {took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_events_is_taken_at_a_pace_and_calls_are_answered() {
    let (mut libvirt, mut daemon) = opened().await;
    let flood = tokio::spawn(async move {
        let events = support::lifecycle(9, "unknown", 2, 0).repeat(100);
        let mut sent = 0_u64;
        loop {
            tokio::select! {
                biased;
                call = daemon.receive() => match call {
                    Some(call) => drop(daemon.send(&Daemon::proper(&call)).await),
                    None => return sent,
                },
                sending = tokio::time::timeout(Duration::from_millis(1), std::future::ready(())) => {
                    drop(sending);
                    if !daemon.send(&events).await {
                        return sent;
                    }
                    sent += 100;
                }
            }
        }
    });
    let started = Instant::now();
    for _ in 0..5 {
        assert!(within(libvirt.call(&ConnectGetType {})).await.is_ok());
        let pause = tokio::time::timeout(Duration::from_secs(2), libvirt.next_event()).await;
        assert!(pause.is_err(), "nobody asked for these events");
    }
    let took = started.elapsed();
    let taken = libvirt.dropped_events();
    assert!(taken <= allowed(took), "{taken} in {took:?}");
    drop(libvirt);
    assert!(within(flood).await.unwrap() >= taken);
}

/// A dialogue: opening, a registration, calls, and an event.
async fn dialogue(client: tokio::io::DuplexStream) -> Result<(), Error> {
    let mut libvirt = Connection::open(client, "qemu:///system").await?;
    libvirt.register(EventKind::Lifecycle).await?;
    libvirt.call(&ConnectListAllDomains { need_results: 1, flags: 0 }).await?;
    libvirt.call(&xml()).await?;
    libvirt.call(&stats()).await?;
    libvirt.next_event().await?;
    Ok(())
}

/// Plays the daemon in it until so many bytes are sent. Returns how many were.
async fn scripted(mut daemon: Daemon, until: usize) -> usize {
    let mut left = until;
    let mut sent = 0;
    for _ in 0..6 {
        let Some(call) = daemon.receive().await else { return sent };
        let mut answer = Daemon::proper(&call);
        if call.procedure == 344 {
            answer.extend(support::lifecycle(1, "web", 2, 0));
        }
        answer.truncate(left);
        left -= answer.len();
        sent += answer.len();
        if !daemon.send(&answer).await || left == 0 {
            return sent;
        }
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn the_socket_may_close_at_every_byte_of_the_dialogue() {
    let (client, server) = tokio::io::duplex(SOCKET);
    let (whole, length) = tokio::join!(within(dialogue(client)), scripted(Daemon(server), usize::MAX));
    assert!(whole.is_ok(), "{whole:?}");
    for until in 0..length {
        let (client, server) = tokio::io::duplex(SOCKET);
        let (outcome, sent) = tokio::join!(within(dialogue(client)), scripted(Daemon(server), until));
        assert_eq!(sent, until);
        assert!(matches!(outcome, Err(Error::Ended(End::Closed))), "closed after {until} bytes: {outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_answer_may_be_cut_at_every_byte() {
    for procedure in Procedure::all() {
        let call = Received { program: REMOTE, procedure: procedure.number, serial: 1, body: Vec::new() };
        let answer = bytes::Bytes::from(Daemon::proper(&call)).slice(28..);
        assert!(procedure.check(&answer).is_ok(), "{}", procedure.function);
        assert!(answer.len() <= procedure.answer_max, "{}", procedure.function);
        for length in 0..answer.len() {
            let cut = procedure.check(&answer.slice(..length));
            assert!(cut.is_err(), "{} with {length} of {} bytes", procedure.function, answer.len());
        }
        let mut longer = answer.to_vec();
        longer.push(0);
        assert!(procedure.check(&longer.into()).is_err(), "{} with a byte more", procedure.function);
    }
}

/// How long a long message may take in these tests.
const LONG_WITHIN: Duration = Duration::from_secs(3);

fn bounds(room: &Arc<Room>) -> Bounds {
    Bounds { room: Some(Arc::clone(room)), long_within: LONG_WITHIN, events: 32 }
}

/// Makes a call whose answer of so many bytes stops a byte short: why its connection ends, and after how long.
async fn withheld(room: Arc<Room>, length: usize) -> (End, Duration) {
    let (mut libvirt, mut daemon) = opened().await;
    libvirt.bound(bounds(&room));
    let started = Instant::now();
    let daemon = tokio::spawn(async move {
        let call = daemon.receive().await.unwrap();
        let mut answer = reply(&call, &vec![0; length]);
        answer.pop();
        daemon.send(&answer).await;
        daemon
    });
    let error = libvirt.call(&stats()).await.unwrap_err();
    let end = error.end().expect("its end").clone();
    drop((libvirt, daemon));
    (end, started.elapsed())
}

#[tokio::test(start_paused = true)]
async fn twenty_four_that_hoard_share_the_room_and_give_it_back() {
    const LENGTH: usize = 1_048_576;
    let room = Arc::new(Room::new(6 * LENGTH));
    let hoarders: Vec<_> = (0..24).map(|_| tokio::spawn(withheld(Arc::clone(&room), LENGTH))).collect();
    let (mut refused, mut late) = (0, 0);
    tokio::time::sleep(LONG_WITHIN / 2).await;
    assert!(room.held() >= LENGTH && room.held() <= 3 * LENGTH + 84, "{} bytes", room.held());
    for hoarder in hoarders {
        match hoarder.await.unwrap() {
            (End::NoRoom { .. }, _) => refused += 1,
            (End::Withheld(LONG_WITHIN), after) => {
                assert_eq!(after, LONG_WITHIN);
                late += 1;
            }
            (end, _) => panic!("{end}"),
        }
    }
    assert!(refused > 0 && late > 0, "{refused} found no room, {late} withheld their last byte");
    assert_eq!(room.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_has_its_time_and_takes_no_room() {
    let room = Arc::new(Room::new(0));
    let (end, after) = withheld(Arc::clone(&room), LONG - 28).await;
    assert!(matches!(end, End::Unfinished), "{end}");
    assert_eq!(after, FRAME_DEADLINE);
    let (end, _) = withheld(room, LONG).await;
    assert!(matches!(end, End::NoRoom { most: 0 }), "{end}");
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_has_its_room_until_it_is_dropped() {
    let room = Arc::new(Room::new(4_500_000));
    let (mut libvirt, mut daemon) = opened().await;
    libvirt.bound(bounds(&room));
    let daemon = tokio::spawn(async move {
        let call = daemon.receive().await.unwrap();
        daemon.send(&reply(&call, &support::body(|writer| writer.bytes(&vec![b' '; 1_000_000])))).await;
        daemon
    });
    let document = within(libvirt.call(&xml())).await.unwrap();
    drop((libvirt, daemon));
    assert!(room.held() >= 1_000_000, "{} bytes", room.held());
    assert_eq!(document.len(), 1_000_000);
    drop(document);
    assert_eq!(room.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn so_many_events_wait_and_then_all_are_lost() {
    let (mut libvirt, mut daemon) = opened().await;
    libvirt.bound(bounds(&Arc::new(Room::new(0))));
    let (registered, ()) = tokio::join!(libvirt.register(EventKind::Lifecycle), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&reply(&call, &[0, 0, 0, 1])).await;
    });
    assert!(registered.unwrap());
    let (answer, ()) = tokio::join!(libvirt.call(&ConnectGetType {}), async {
        let call = daemon.receive().await.unwrap();
        for _ in 0..33 {
            daemon.send(&support::lifecycle(1, "web", 4, 0)).await;
        }
        daemon.send(&Daemon::proper(&call)).await;
    });
    answer.unwrap();
    assert!(matches!(within(libvirt.next_event()).await, Ok(Event::Lost(33))));
}
