//! The heartbeat goes on whatever the daemon does or fails to do, and stops when the endpoint's task panics.

use super::*;
use crate::heartbeat::LATE;

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_away_mute_or_hangs_does_not_stop_the_heartbeat() {
    const MINUTES: Duration = Duration::from_secs(300);
    let fake = FakeHypervisor::with(2);
    let settings = host();
    let (endpoint, _events) = connected_with(&fake, &settings).await;
    fake.domain(1, |domain| domain.frozen = true);
    let asking = tokio::spawn(async move {
        loop {
            let _ = tokio::join!(read(&endpoint, 1), endpoint.list());
            pass(Duration::from_secs(15)).await;
        }
    });
    let beats = &settings.heartbeats;
    for change in [
        (|_| {}) as fn(&mut fake::State),
        |state| state.mute = true,
        |state| (state.mute, state.open_hangs) = (false, true),
        |state| (state.open_hangs, state.dead) = (false, true),
    ] {
        fake.change(change);
        let end = Instant::now() + MINUTES;
        while Instant::now() < end {
            pass(Duration::from_secs(1)).await;
            assert_eq!(beats.still(), []);
        }
    }
    asking.abort();
    let _ = asking.await;
    pass(LATE * 2).await;
    assert_eq!(beats.still(), [], "it has ended with its last handle");
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_fell_over_is_seen_to_stand_still() {
    let fake = FakeHypervisor::with(1);
    let settings = host();
    let (endpoint, _events) = connected_with(&fake, &settings).await;
    assert_eq!(read(&endpoint, 1).await, Ok(Monitor::Answered));
    fake.change(|state| state.falls_over = true);
    assert!(lost(&read(&endpoint, 1).await.unwrap_err()));
    pass(LATE * 2).await;
    let still = settings.heartbeats.still();
    assert_eq!(still.iter().map(|still| still.part.as_str()).collect::<Vec<_>>(), ["libvirt::endpoint of fake:///"]);
}
