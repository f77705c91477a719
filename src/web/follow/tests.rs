//! Changes of real files, at the pace of a clock that is moved by hand.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::super::testing::{Place, TLS};
use super::*;
use crate::follow::{PERIOD, SETTLED};
use crate::testing::logged::Logged;

/// A follower that runs, and what it says.
struct Followed {
    place: Place,
    current: Current,
    counters: Arc<WebCounters>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Followed {
    fn start(place: Place, document: &str) -> Self {
        let counters = Arc::new(WebCounters::new());
        let (follower, current) = Follower::new(place.load(document).unwrap(), Arc::clone(&counters));
        let stop = CancellationToken::new();
        let task = tokio::spawn(follower.run(Pulse::default(), stop.clone()));
        Self { place, current, counters, stop, task }
    }

    /// Lets a change be found and settle.
    async fn later(&self) {
        sleep(PERIOD + SETTLED + PERIOD).await;
    }

    fn is(&self, settings: &Arc<Settings>) -> bool {
        Arc::ptr_eq(&self.current.get(), settings)
    }
}

fn user(name: &str) -> String {
    format!("basic_auth_users:\n  {name}: $2y$10$qRTBuFoULoYNA7AQ/F3ck.trZBPyjV64.oA4ZsSBCIWvXuvQlQTuu\n")
}

#[tokio::test(start_paused = true)]
async fn a_change_of_the_document_or_of_what_it_names_is_in_force_soon() {
    let followed = Followed::start(Place::new(), TLS);
    let first = followed.current.get();
    followed.later().await;
    assert!(followed.is(&first), "nothing has changed");
    followed.place.renew();
    followed.later().await;
    let second = followed.current.get();
    assert!(!followed.is(&first));
    followed.place.write("web.yml", &format!("{TLS}{}", user("alice")));
    followed.later().await;
    assert!(!followed.is(&second) && followed.current.get().has_users());
    assert_eq!((followed.counters.changes(), followed.counters.current()), (2, true));
    followed.stop.cancel();
    followed.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_that_becomes_bad_keeps_the_last_good_one_and_says_so_once() {
    let (logged, _guard) = Logged::here();
    let followed = Followed::start(Place::new(), TLS);
    let first = followed.current.get();
    let cannot = "cannot be taken over";
    for (name, text) in [("web.yml", "tls_server_conf: {}\n"), ("web.yml", TLS), ("server.key", "nonsense")] {
        let before = logged.with(cannot).len();
        let good = text == TLS;
        followed.place.write(name, text);
        for _ in 0..5 {
            followed.later().await;
        }
        assert_eq!(followed.counters.current(), good, "{name}");
        assert_eq!(logged.with(cannot).len(), before + usize::from(!good), "{name}");
    }
    let lines = logged.with(cannot);
    assert!(lines[0].contains("`tls_server_conf`") && lines[0].contains("web.yml"), "{lines:?}");
    assert!(lines[1].contains("server.key") && lines[1].contains("key_file"), "{lines:?}");
    assert!(!followed.is(&first), "the document was good again meanwhile");
    std::fs::remove_file(followed.place.path("server.crt")).unwrap();
    followed.later().await;
    assert_eq!(logged.with(cannot).len(), 3, "another reason is another line");
    followed.place.renew();
    followed.later().await;
    assert!(followed.counters.current());
}

#[tokio::test(start_paused = true)]
async fn what_is_still_being_written_is_not_believed() {
    let (logged, _guard) = Logged::here();
    let followed = Followed::start(Place::new(), TLS);
    // The certificate is there, and its key comes half a second later.
    sleep(PERIOD - Duration::from_millis(10)).await;
    let (certificate, key) = followed.place.issue(&["localhost"]);
    followed.place.write("server.crt", &certificate);
    sleep(SETTLED / 2).await;
    followed.place.write("server.key", &key);
    followed.later().await;
    assert_eq!((followed.counters.changes(), followed.counters.current()), (1, true));
    assert!(logged.with("cannot be taken over").is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_change_opens_the_address() {
    let all = format!(
        "{TLS}  client_auth_type: RequireAndVerifyClientCert\n  client_ca_file: ca.crt\n  client_allowed_sans: [a]\n{}",
        user("alice")
    );
    let (logged, _guard) = Logged::here();
    let followed = Followed::start(Place::new(), &all);
    let first = followed.current.get();
    let without = |part: &str| all.replace(part, "");
    for (document, lost) in [
        (String::new(), "TLS"),
        (user("alice"), "TLS"),
        (format!("{TLS}{}", user("alice")), "the demand for certificates"),
        (all.replace("RequireAndVerify", "Verify").replace("ClientCert\n", "ClientCertIfGiven\n"), "the demand"),
        (format!("{TLS}  client_auth_type: RequireAnyClientCert\n{}", user("alice")), "the verification"),
        (without("  client_allowed_sans: [a]\n"), "client_allowed_sans"),
        (without(&user("alice")), "every user"),
    ] {
        followed.place.write("web.yml", &document);
        followed.later().await;
        assert!(followed.is(&first) && !followed.counters.current(), "{document}");
        let line = logged.with("cannot be taken over").pop().expect("a line");
        assert!(line.contains(lost), "{line}");
    }
    // Another user is no opening.
    followed.place.write("web.yml", &all.replace("alice", "bob"));
    followed.later().await;
    assert!(!followed.is(&first) && followed.counters.current());
}

/// How a kubelet does it.
#[tokio::test(start_paused = true)]
async fn a_swapped_link_is_a_change() {
    let place = Place::new();
    let version = |name: &str, user_name: &str| {
        std::fs::create_dir(place.path(name)).unwrap();
        place.write(&format!("{name}/web.yml"), &user(user_name));
    };
    let swap = |name: &str| {
        std::os::unix::fs::symlink(name, place.path("..tmp")).unwrap();
        std::fs::rename(place.path("..tmp"), place.path("..data")).unwrap();
    };
    version("one", "alice");
    version("two", "bob");
    swap("one");
    std::os::unix::fs::symlink("..data/web.yml", place.path("linked.yml")).unwrap();
    let counters = Arc::new(WebCounters::new());
    let (follower, current) = Follower::new(load(&place.path("linked.yml")).unwrap(), Arc::clone(&counters));
    let first = current.get();
    drop(tokio::spawn(follower.run(Pulse::default(), CancellationToken::new())));
    swap("two");
    sleep(PERIOD + SETTLED + PERIOD).await;
    assert!(!Arc::ptr_eq(&first, &current.get()));
    assert_eq!(counters.changes(), 1);
}
