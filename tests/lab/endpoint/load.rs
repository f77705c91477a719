//! What others do at the endpoint costs neither a scrape nor a probe: slow connections, wrong passwords, new secrets.

use std::time::{Duration, Instant};

use super::super::support::https::Https;
use super::super::support::{Agent, free_port, http, meanwhile, wait_until};
use super::{Place, TLS, replace};

/// How long something may take to show, on a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Nothing listens there.
const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

fn users(pairs: &[(&str, &str)]) -> String {
    let line = |(name, password): &(&str, &str)| format!("  {name}: {}\n", bcrypt::hash(password, 10).unwrap());
    format!("{TLS}basic_auth_users:\n{}", pairs.iter().map(line).collect::<String>())
}

/// `Authorization: Basic …`
fn basic(user: &str, password: &str) -> String {
    use base64::Engine as _;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}")))
}

/// An agent that is guarded by the document, and the port of its probes.
fn guarded(place: &Place) -> (Agent, u16) {
    let health = free_port();
    let (file, listen) = (place.text("web.yml"), format!("127.0.0.1:{health}"));
    let arguments = ["--libvirt-uri", ABSENT, "--exporters", "prometheus", "--web-config-file", &file];
    let agent = Agent::launch(&[&arguments[..], &["--health-listen", &listen]].concat(), &[]);
    wait_until(SOON, "the probe", || http::get(health, "/livez", &[]).ok().filter(|answer| answer.status == 200));
    (agent, health)
}

/// Certificate and passwords are replaced while four clients scrape as fast as they can.
#[test]
fn secrets_are_replaced_without_one_failed_scrape() {
    let place = Place::new(&users(&[("old", "one")]));
    let (agent, _) = guarded(&place);
    let client = Https::trusting(&place.path("ca.crt"));
    let scrape = |user: &str, password: &str| {
        let answer = client.get(agent.port(), "/metrics", &[("Authorization", &basic(user, password))]);
        answer.map_err(|error| error.to_string()).map(|answer| answer.status)
    };
    let document = place.path("web.yml");
    let ((), scrapes) = meanwhile((0..4).map(|_| || scrape("old", "one")), Duration::from_millis(200), || {
        place.renew();
        replace(&document, &users(&[("old", "one"), ("new", "two")]));
        wait_until(SOON, "the new user", || (scrape("new", "two") == Ok(200)).then_some(()));
        replace(&document, "basic_auth_users: [nonsense]\n");
        wait_until(SOON, "a warning", || agent.log().contains("cannot be taken over").then_some(()));
        assert_eq!(scrape("new", "two"), Ok(200), "what is bad changes nothing");
        replace(&document, &users(&[("old", "one"), ("new", "three")]));
        wait_until(SOON, "the new password", || (scrape("new", "three") == Ok(200)).then_some(()));
        assert_eq!(scrape("new", "two"), Ok(401), "the password before is one no more");
    });
    let scrapes: Vec<_> = scrapes.into_iter().flatten().collect();
    assert!(scrapes.len() > 100, "{}", scrapes.len());
    let failed: Vec<_> = scrapes.iter().filter(|status| **status != Ok(200)).collect();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), scrapes.len());
}

/// Who guesses passwords as fast as he can holds up neither scrapes nor probes, and costs no more than a core.
#[test]
fn wrong_passwords_at_full_speed_hold_up_nobody() {
    let place = Place::new(&users(&[("prometheus", "right")]));
    let (agent, health) = guarded(&place);
    let client = Https::trusting(&place.path("ca.crt"));
    let right = basic("prometheus", "right");
    let scrape = || client.get(agent.port(), "/metrics", &[("Authorization", &right)]).map(|answer| answer.status);
    assert_eq!(scrape().unwrap(), 200);
    let guess = |number: usize| {
        let (client, port) = (client.clone(), agent.port());
        let guess = basic("prometheus", &format!("guess {number}"));
        move || client.get(port, "/metrics", &[("Authorization", &guess)]).ok().map(|answer| answer.status)
    };
    let (began, before) = (Instant::now(), agent.cpu_time());
    let (answers, guesses) = meanwhile((0..16).map(guess), Duration::ZERO, || {
        let answers = (0..10).map(|_| {
            std::thread::sleep(Duration::from_secs(1));
            let probe = http::get(health, "/livez", &[]).map(|answer| answer.status);
            (scrape().map_err(|error| error.to_string()), probe.map_err(|error| error.to_string()))
        });
        answers.collect::<Vec<_>>()
    });
    assert!(answers.iter().all(|answer| *answer == (Ok(200), Ok(200))), "{answers:?}");
    assert!(guesses.into_iter().flatten().flatten().all(|status| status != 200), "a wrong password was taken");
    // Over all that time: a scrape waits for a processor as everybody does, and the guesses go on meanwhile.
    let (spent, time) = (agent.cpu_time().saturating_sub(before), began.elapsed());
    eprintln!("{spent:?} of processor time in {time:?}");
    assert!(spent < time, "{spent:?} of processor time in {time:?}");
}

/// They say nothing, not even the first word of a handshake.
#[test]
fn a_thousand_silent_connections_hold_up_neither_scrapes_nor_probes() {
    let place = Place::new(TLS);
    let (agent, health) = guarded(&place);
    let mut silent = Vec::new();
    for _ in 0..1_000 {
        silent.extend(http::connect(agent.port()));
    }
    let client = Https::trusting(&place.path("ca.crt"));
    for _ in 0..20 {
        assert_eq!(client.get(agent.port(), "/metrics", &[]).unwrap().status, 200);
        assert_eq!(http::get(health, "/livez", &[]).unwrap().status, 200);
    }
    assert!(silent.len() > 500, "{}", silent.len());
}
