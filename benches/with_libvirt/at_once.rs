//! Readings of all domains without the pauses of service: in this process, through the port that the agent reads
//! through.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use libvirt_remote::address::{Conf, Surroundings};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;
use virt_otel::libvirt::endpoint::{Address, Endpoint, Settings};
use virt_otel::model::{DaemonId, Groups};
use virt_otel::source::{Ask, Order, Said, Source};

use crate::fleet::Fleet;
use crate::lab::process;
use crate::peers::Reading;
use crate::support::Spread;

/// How long the daemon may take to be connected.
const PATIENCE: Duration = Duration::from_secs(20);

/// Readings of all groups of all domains, as many at a time as the agent makes.
pub(crate) fn readings(fleet: &Fleet, runs: u32) -> Reading {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let uri = fleet.libvirtd.read_only_uri();
        let surroundings = Surroundings { root: true, ..Surroundings::default() };
        let address = libvirt_remote::Address::resolve(&uri, &surroundings, &Conf::default()).expect("an address");
        let settings = Settings::new(DaemonId(uri.into()), Address::Uri(address));
        let (sender, mut events) = mpsc::channel(64);
        let source: Arc<dyn Source> = Endpoint::start(&settings, sender);
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        let domains: Arc<[Uuid]> = connected(&*source).await.into();

        round(&source, &domains).await;
        let used = || process::cpu_time(std::process::id()).expect("our own CPU time");
        let before = fleet.cpu(used());
        let mut times = Vec::new();
        for _ in 0..runs {
            let started = Instant::now();
            round(&source, &domains).await;
            times.push(started.elapsed());
        }
        Reading { time: Spread::of(times), cpu: fleet.cpu(used()).since(before, runs.into()) }
    })
}

/// Waits for the connection, and lists the domains.
async fn connected(source: &dyn Source) -> Vec<Uuid> {
    let asked = async {
        loop {
            match source.ask(Ask::List, Order::AtOnce).await {
                Ok(Said::Listed(listed)) => return listed.iter().map(|domain| domain.uuid).collect(),
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("a connection to libvirtd")
}

async fn round(source: &Arc<dyn Source>, domains: &Arc<[Uuid]>) {
    let next = Arc::new(AtomicUsize::new(0));
    let mut readers = JoinSet::new();
    for _ in 0..Settings::AT_ONCE {
        let (source, domains, next) = (Arc::clone(source), Arc::clone(domains), Arc::clone(&next));
        readers.spawn(async move {
            while let Some(&uuid) = domains.get(next.fetch_add(1, Ordering::Relaxed)) {
                let said = source.ask(Ask::Read(uuid, Groups::all()), Order::AtOnce).await.expect("an answer");
                let Said::Stats(Some(stats)) = said else { panic!("a domain that is there: {said:?}") };
                assert!(stats.disks.is_some(), "libvirt has said everything");
            }
        });
    }
    while let Some(reader) = readers.join_next().await {
        reader.expect("a reader to its end");
    }
}
