//! What this client sends to a daemon, and how it reads the answers.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]

#[allow(dead_code, reason = "a toolbox: not every test uses every tool")]
mod support;

use std::time::Duration;

use libvirt_remote::limits::{CALLS_MAX, EVENTS_MAX};
use libvirt_remote::procedure::{
    ConnectGetAllDomainStats, ConnectGetHostname, ConnectGetLibVersion, ConnectGetType, ConnectListAllDomains,
    DomainGetJobStats, DomainGetState, DomainGetXmlDesc,
};
use libvirt_remote::{Connection, DomainEvent, End, Error, Event, EventKind, Keepalive, Value};
use support::{Daemon, SOCKET, domain, failure, frame, lifecycle, opened, ping, reply, within, words};
use tokio::io::AsyncReadExt as _;

/// A daemon that answers everything properly until the client disconnects.
async fn serve(mut daemon: Daemon) {
    while let Some(call) = daemon.receive().await {
        if !daemon.send(&Daemon::proper(&call)).await {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_question_has_its_answer() {
    let (mut libvirt, daemon) = opened().await;
    tokio::spawn(serve(daemon));
    let vm = domain("web");
    assert_eq!(libvirt.call(&ConnectGetType {}).await.unwrap().to_str(), Ok("QEMU"));
    assert_eq!(libvirt.call(&ConnectGetHostname {}).await.unwrap().to_str(), Ok("host.example"));
    assert_eq!(libvirt.call(&ConnectGetLibVersion {}).await.unwrap(), 9_000_000);
    let list = libvirt.call(&ConnectListAllDomains { need_results: 1, flags: 0 }).await.unwrap();
    assert_eq!(
        list.domains.iter().map(|domain| (&*domain.name, domain.id)).collect::<Vec<_>>(),
        [("web", Some(3)), ("db", None)]
    );
    let state = libvirt.call(&DomainGetState { domain: vm.clone(), flags: 0 }).await.unwrap();
    assert_eq!((state.state, state.reason), (1, 5));
    let xml = libvirt.call(&DomainGetXmlDesc { domain: vm.clone(), flags: 0 }).await.unwrap();
    assert_eq!(xml.to_str(), Ok("<domain type='kvm'/>"));
    let job = libvirt.call(&DomainGetJobStats { domain: vm.clone(), flags: 0 }).await.unwrap();
    assert_eq!((job.kind, job.parameters.len()), (2, 1));
    let stats = libvirt.call(&ConnectGetAllDomainStats { domains: vec![vm], stats: 0, flags: 1 << 29 }).await.unwrap();
    let values: Vec<Value<'_>> = stats.0[0].parameters.iter().map(|parameter| parameter.value).collect();
    assert_eq!(
        values,
        [
            Value::Int(-5),
            Value::UInt(5),
            Value::LLong(-5),
            Value::ULLong(5),
            Value::Double(0.5),
            Value::Boolean(true),
            Value::Text("vda".into())
        ]
    );
    within(libvirt.close()).await;
}

#[tokio::test(start_paused = true)]
async fn an_error_of_libvirt_is_told_whole_and_ends_nothing() {
    let (mut libvirt, mut daemon) = opened().await;
    let call = DomainGetState { domain: domain("gone"), flags: 0 };
    let (answer, ()) = tokio::join!(libvirt.call(&call), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&failure(&call, 42, "Domain not found: gone")).await;
    });
    let error = answer.unwrap_err();
    assert!(error.is_no_domain());
    let Error::Libvirt(error) = error else { panic!("{error:?}") };
    assert_eq!((error.code, error.domain, error.level), (42, 10, 2));
    assert_eq!(error.to_string(), "Domain not found: gone");
    tokio::spawn(serve(daemon));
    assert!(libvirt.call(&ConnectGetType {}).await.is_ok(), "it lives on");
}

#[tokio::test(start_paused = true)]
async fn answers_come_in_any_order() {
    let (mut libvirt, mut daemon) = opened().await;
    let first = libvirt.send(&ConnectGetType {}).unwrap();
    let second = libvirt.send(&ConnectGetLibVersion {}).unwrap();
    let (answer, ()) = tokio::join!(libvirt.receive(first), async {
        let calls = [daemon.receive().await.unwrap(), daemon.receive().await.unwrap()];
        for call in calls.iter().rev() {
            daemon.send(&Daemon::proper(call)).await;
        }
    });
    assert_eq!(answer.unwrap().to_str(), Ok("QEMU"));
    assert_eq!(libvirt.receive(second).await.unwrap(), 9_000_000);
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_a_call_that_was_given_up_is_thrown_away() {
    let (mut libvirt, mut daemon) = opened().await;
    assert!(tokio::time::timeout(Duration::from_secs(3), libvirt.call(&ConnectGetType {})).await.is_err());
    let late = daemon.receive().await.unwrap();
    let (answer, ()) = tokio::join!(libvirt.call(&ConnectGetLibVersion {}), async {
        daemon.send(&Daemon::proper(&late)).await;
        let call = daemon.receive().await.unwrap();
        daemon.send(&Daemon::proper(&call)).await;
    });
    assert_eq!(answer.unwrap(), 9_000_000);
    // It is answered now: a second answer matches no call.
    daemon.send(&Daemon::proper(&late)).await;
    let said = words(libvirt.call(&ConnectGetLibVersion {}).await);
    assert!(said.contains("was not made or has been answered"), "{said}");
}

#[tokio::test(start_paused = true)]
async fn no_more_calls_are_out_than_may_be() {
    let (mut libvirt, daemon) = opened().await;
    for _ in 0..CALLS_MAX {
        assert!(libvirt.send(&ConnectGetType {}).is_ok());
    }
    assert!(matches!(libvirt.send(&ConnectGetType {}), Err(Error::TooManyCalls)));
    drop(daemon);
}

#[tokio::test(start_paused = true)]
async fn events_come_in_order_and_those_of_nobody_do_not() {
    let (mut libvirt, mut daemon) = opened().await;
    let (registered, ()) = tokio::join!(libvirt.register(EventKind::Lifecycle), async {
        let call = daemon.receive().await.unwrap();
        assert_eq!((call.procedure, &call.body[..]), (316, &[0; 8][..]));
        daemon.send(&reply(&call, &[0, 0, 0, 9])).await;
    });
    assert!(registered.unwrap());
    for event in [
        lifecycle(9, "web", 4, 0),
        lifecycle(8, "web", 5, 0),
        frame(support::REMOTE, 9_999, support::MESSAGE, 0, 0, &[1, 2, 3]),
        lifecycle(9, "web", 2, 0),
    ] {
        daemon.send(&event).await;
    }
    for expected in [4, 2] {
        let Event::Domain { domain, what: DomainEvent::Lifecycle { event, detail: 0 } } =
            within(libvirt.next_event()).await.unwrap()
        else {
            panic!("no lifecycle event")
        };
        assert_eq!((&*domain.name, event), ("web", expected));
    }
    assert_eq!(libvirt.dropped_events(), 2, "another's registration, and a kind that is not known");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_does_not_have_a_kind_of_event_is_used_without_it() {
    let (mut libvirt, mut daemon) = opened().await;
    let (registered, ()) = tokio::join!(libvirt.register(EventKind::MetadataChange), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&failure(&call, 8, "eventID must be less than 20")).await;
    });
    assert!(!registered.unwrap());
}

#[tokio::test(start_paused = true)]
async fn more_events_than_may_wait_are_told_as_lost() {
    let (mut libvirt, mut daemon) = opened().await;
    let (registered, ()) = tokio::join!(libvirt.register(EventKind::Lifecycle), async {
        let call = daemon.receive().await.unwrap();
        daemon.send(&reply(&call, &[0, 0, 0, 9])).await;
    });
    assert!(registered.unwrap());
    // Nobody takes them during the call.
    let count = EVENTS_MAX + 10;
    let (answer, ()) = tokio::join!(libvirt.call(&ConnectGetType {}), async {
        let call = daemon.receive().await.unwrap();
        for number in 0..count {
            daemon.send(&lifecycle(9, &number.to_string(), 2, 0)).await;
        }
        daemon.send(&Daemon::proper(&call)).await;
    });
    assert!(answer.is_ok());
    assert_eq!(libvirt.next_event().await.unwrap(), Event::Lost(u64::try_from(EVENTS_MAX).unwrap() + 1));
    let mut after = Vec::new();
    while let Ok(event) = tokio::time::timeout(Duration::from_secs(1), libvirt.next_event()).await {
        let Event::Domain { domain, .. } = event.unwrap() else { panic!("told once") };
        after.push(domain.name.to_string());
    }
    assert_eq!(after.len(), 9);
    assert_eq!(after.last(), Some(&(count - 1).to_string()), "what came after is there");
}

#[tokio::test(start_paused = true)]
async fn pings_are_answered_and_many_by_one_pong() {
    let (mut libvirt, mut daemon) = opened().await;
    let waiting = tokio::spawn(async move { libvirt.next_event().await });
    daemon.send(&ping()).await;
    let pong = within(daemon.receive()).await.unwrap();
    assert_eq!((pong.program, pong.procedure), (support::KEEPALIVE, 2));
    daemon.send(&ping().repeat(100)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut bytes = vec![0; 28 * 200];
    let read = daemon.0.read(&mut bytes).await.unwrap();
    assert!((28..=28 * 4).contains(&read), "{read} bytes of PONGs for a hundred PINGs that came together");
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_answers_no_ping_is_gone_in_time() {
    let (mut libvirt, mut daemon) = opened().await;
    let keepalive = Keepalive { interval: Duration::from_secs(5), count: 3 };
    libvirt.keep_alive(Some(keepalive));
    let started = tokio::time::Instant::now();
    // It answers the first, and falls silent.
    let (end, ()) = tokio::join!(libvirt.next_event(), async {
        assert_eq!(daemon.receive().await.unwrap().procedure, 1);
        daemon.send(&frame(support::KEEPALIVE, 2, support::MESSAGE, 0, 0, &[])).await;
    });
    let end = end.unwrap_err();
    assert!(matches!(end, End::Mute(gone) if gone == keepalive), "{end}");
    assert_eq!(started.elapsed(), Duration::from_secs(5 + 20));
    assert_eq!(end.to_string(), "the daemon has not answered 3 PINGs, one every 5s");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_wants_sasl_is_told_apart() {
    for (types, wanted) in [(&[1][..], "SASL"), (&[1, 7][..], "SASL or authentication of type 7")] {
        let (client, server) = tokio::io::duplex(SOCKET);
        let mut daemon = Daemon(server);
        let (connection, ()) = tokio::join!(Connection::open(client, "qemu:///system"), async {
            let call = daemon.receive().await.unwrap();
            let types = support::body(|writer| {
                writer.count(types.len());
                types.iter().for_each(|kind| writer.i32(*kind));
            });
            daemon.send(&reply(&call, &types)).await;
        });
        let said = words(connection);
        assert!(said.contains(&format!("wants {wanted},")), "{said}");
    }
}

#[tokio::test(start_paused = true)]
async fn polkit_is_asked_where_the_daemon_wants_it() {
    // libvirt's error code, and what our error must say besides libvirt's message.
    let refused = [
        (45, "org.libvirt.unix.monitor"),
        (79, "org.libvirt.unix.monitor"),
        (94, "org.libvirt.unix.monitor"),
        (1, "could not ask polkit"),
    ];
    for refuses in std::iter::once(None).chain(refused.map(Some)) {
        let (client, server) = tokio::io::duplex(SOCKET);
        let mut daemon = Daemon(server);
        let (connection, ()) = tokio::join!(Connection::open(client, "qemu:///system"), async {
            let call = daemon.receive().await.unwrap();
            daemon.send(&reply(&call, &[0, 0, 0, 1, 0, 0, 0, 2])).await;
            let call = daemon.receive().await.unwrap();
            assert_eq!(call.procedure, 70);
            if let Some((code, _)) = refuses {
                daemon.send(&failure(&call, code, "in libvirt's words")).await;
            } else {
                daemon.send(&reply(&call, &[0, 0, 0, 1])).await;
                let open = daemon.receive().await.unwrap();
                daemon.send(&reply(&open, &[])).await;
            }
        });
        match connection {
            Ok(_) => assert_eq!(refuses, None),
            Err(error) => {
                let (code, says) = refuses.expect("one that lets us in");
                let said = error.to_string();
                assert!(said.contains("in libvirt's words") && said.contains(says), "{code}: {said}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_a_connection_ends_it_at_once() {
    let (libvirt, mut daemon) = opened().await;
    drop(libvirt);
    let mut rest = Vec::new();
    assert_eq!(daemon.0.read_to_end(&mut rest).await.unwrap(), 0, "nothing is said, and the stream is closed");
}

#[tokio::test(start_paused = true)]
async fn an_orderly_end_is_told_and_waits_for_nobody() {
    let (libvirt, mut daemon) = opened().await;
    let started = tokio::time::Instant::now();
    libvirt.close().await;
    assert_eq!(started.elapsed(), libvirt_remote::limits::CLOSE_DEADLINE);
    assert_eq!(daemon.receive().await.unwrap().procedure, 2);
    assert!(daemon.receive().await.is_none());
}
