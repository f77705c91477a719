//! How long an answer keeps the runtime from other tasks: the longest answers that a daemon may give, through the whole
//! endpoint, on a single-threaded runtime, while another task wants to run every millisecond.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a bench prints what it measured, reads the real clock, and ends where it cannot go on"
)]

use std::cell::Cell;
use std::io::Write as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lab_support::hostile::{longest, words};
use lab_support::measure as support;
use lab_support::measure::{Spread, print_table, promise, row, show};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;
use virt_otel::libvirt::endpoint::{Address, Endpoint, EndpointHandle, Settings};
use virt_otel::model::{DaemonId, Group, Groups};
use virt_otel::source::{Ask, Order, Source as _, SourceEvent};
use words::{Body, Call, KEEPALIVE, MESSAGE, Named, frame};

/// How often each answer is given.
const RUNS: usize = 20;

/// How often the other task wants to run.
const TICK: Duration = Duration::from_millis(1);

/// The promise: how much longer than a tick it waits, at most. A scrape and a probe take longer.
const KEPT_FROM: Duration = Duration::from_millis(5);

/// The deadline of a call: long enough for a debug build, whose speed is not measured.
const DEADLINE: Duration = Duration::from_secs(60);

/// The longest name with which a list of the most domains still fits.
const NAME: usize = 228;

fn domain() -> Named {
    Named { name: "full".to_owned(), uuid: Uuid::from_u128(0x0b5c_2f6e_8a3d_4b1c_9e7f_1d2c_3b4a_5968) }
}

/// A daemon's odd answer to one procedure.
struct Odd {
    procedure: u32,
    body: Body,
}

/// Serves a daemon with one domain and one answer of the greatest length.
fn serve(socket: &Path, odd: Odd) {
    let listener = UnixListener::bind(socket).unwrap();
    let odd = Arc::new(odd);
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let odd = Arc::clone(&odd);
            std::thread::spawn(move || {
                let _ = answer(&client, &odd);
            });
        }
    });
}

fn answer(mut client: &UnixStream, odd: &Odd) -> std::io::Result<()> {
    let mut callbacks = 0;
    loop {
        let call = Call::read(&mut client)?;
        if call.program == KEEPALIVE {
            client.write_all(&frame(KEEPALIVE, 2, MESSAGE, 0, 0, &Body::default()))?;
            continue;
        }
        let body = match call.procedure {
            procedure if procedure == odd.procedure => odd.body.clone(),
            3 => Body::default().text("QEMU"),
            4 | 157 => Body::default().u64(9_000_000),
            7 => Body::default().text("<capabilities/>"),
            59 => Body::default().text("host.test"),
            66 => Body::of(&[1, 0]),
            273 => Body::of(&[1]).domain(&domain()).u32(1),
            298 => Body::of(&[0, 0]),
            316 => {
                callbacks += 1;
                Body::of(&[callbacks])
            }
            _ => Body::default(),
        };
        client.write_all(&call.reply(&body))?;
    }
}

fn list() -> Body {
    let count = u32::try_from(longest::LISTED).unwrap();
    let named = |number: u128| {
        let name = format!("{number:0>NAME$}");
        Named { name, uuid: Uuid::from_u128(number) }
    };
    (0..u128::from(count)).map(named).fold(Body::of(&[count]), |body, domain| body.domain(&domain)).u32(count)
}

async fn connected(socket: &Path) -> (Arc<EndpointHandle>, mpsc::Receiver<SourceEvent>) {
    let mut settings = Settings::new(DaemonId("full".into()), Address::Socket(socket.to_owned()));
    settings.deadline = DEADLINE;
    let (sender, mut events) = mpsc::channel(64);
    let endpoint = Endpoint::start(&settings, sender);
    while !matches!(events.recv().await, Some(SourceEvent::Connected(_))) {}
    (endpoint, events)
}

/// How much longer than a tick another task waited at most, in each run, and how long the answers took.
fn measure(name: &str, ask: Option<Ask>, odd: Odd) -> (Vec<String>, Option<Spread>) {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("sock");
    let length = odd.body.0.len();
    serve(&socket, odd);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    let (gaps, took) = local.block_on(&runtime, async {
        let (endpoint, _events) = connected(&socket).await;
        let longest = Rc::new(Cell::new(Duration::ZERO));
        let ticking = Rc::clone(&longest);
        tokio::task::spawn_local(async move {
            let mut ticks = tokio::time::interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut last = Instant::now();
            loop {
                ticks.tick().await;
                let late = last.elapsed().saturating_sub(TICK);
                ticking.set(ticking.get().max(late));
                last = Instant::now();
            }
        });
        let (mut gaps, mut took) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            tokio::time::sleep(Duration::from_millis(20)).await;
            longest.set(Duration::ZERO);
            let began = Instant::now();
            match ask {
                Some(ask) => drop(endpoint.ask(ask, Order::AtOnce).await.expect("an answer")),
                None => tokio::time::sleep(Duration::from_millis(100)).await,
            }
            took.push(began.elapsed());
            tokio::time::sleep(TICK * 3).await;
            gaps.push(longest.get());
        }
        (Spread::of(gaps), Spread::of(took))
    });
    let row = row([name, &support::thousands(length), &took.three(), &gaps.three()]);
    (row, ask.map(|_| gaps))
}

fn main() {
    if !support::asked_to_measure() {
        return;
    }
    print_table("The machine", "", &["", ""], &support::machine::facts());
    let uuid = domain().uuid;
    let record = || Body::of(&[1]).domain(&domain());
    let head = format!("<domain type='kvm'><name>full</name><uuid>{uuid}</uuid><devices>");
    let read =
        Some(Ask::Read(uuid, [Group::State, Group::Cpu, Group::Vcpu, Group::Block].into_iter().collect::<Groups>()));
    let measured = [
        measure("Nothing", None, Odd { procedure: 0, body: Body::default() }),
        measure("Statistics of 8 MiB", read, Odd { procedure: 344, body: longest::statistics(record()) }),
        measure("262,144 parameters", read, Odd { procedure: 344, body: longest::parameters(record()) }),
        measure(
            "XML of 4 MiB",
            Some(Ask::Describe(uuid)),
            Odd { procedure: 14, body: Body::default().text(&longest::document(&head)) },
        ),
        measure("A list of 16,384 domains", Some(Ask::List), Odd { procedure: 273, body: list() }),
    ];
    let rows: Vec<Vec<String>> = measured.iter().map(|(row, _)| row.clone()).collect();
    print_table(
        "How long the longest answers block other tasks",
        &format!("On one thread. Times are the minimum, median and maximum of {RUNS} runs."),
        &["", "Bytes", "Until the answer", "Another task waited"],
        &rows,
    );
    // The median: the largest times come from other processes.
    let worst = measured.iter().filter_map(|(_, gaps)| gaps.as_ref()).map(Spread::median).max().expect("some answers");
    let kept = worst <= KEPT_FROM;
    let line = promise(
        "The longest answer of a daemon",
        &format!("keeps other tasks waiting for less than {}", show(KEPT_FROM)),
        &show(worst),
        kept,
    );
    print_table("What is promised", "", &support::PROMISES, &[line]);
}
