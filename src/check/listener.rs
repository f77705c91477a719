//! The addresses to listen on: free, or held by a virt-otel.
//!
//! Who holds an address is asked over plain HTTP. A virt-otel tells its name in every answer: in a refusal too, and where
//! it speaks TLS in the sentence by which it says so.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::finding::{Check, Finding};
use crate::admin::{self, ListenError, SERVER};
use crate::config::Listen;

/// How long whoever holds an address may take to answer: a virt-otel takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(2);

/// How much of an answer is read: its head has a few hundred bytes.
const HEAD: usize = 4 * 1_024;

/// Who holds an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Holder {
    Nobody,
    VirtOtel,
    Another,
}

/// Tries one address: of the option `option`, which `check` is about.
pub(super) async fn probe(check: Check, option: &'static str, listen: Listen) -> Vec<Finding> {
    if listen.port == 0 {
        return vec![Finding::well(check, format!("{option} {listen}: a free port is taken at the start"))];
    }
    // Asked first, so that an address that is in use is not reached for.
    let mut holder = holder(&listen).await;
    let mut bound = Ok(());
    if holder == Holder::Nobody {
        bound = admin::bind(option, &listen.host, listen.port).await.map(drop);
        if bound.as_ref().is_err_and(|error| error.source.kind() == io::ErrorKind::AddrInUse) {
            holder = Holder::Another;
        }
    }
    vec![judge(check, option, &listen, holder, bound.err())]
}

fn judge(check: Check, option: &str, listen: &Listen, holder: Holder, error: Option<ListenError>) -> Finding {
    let port = listen.port;
    match (holder, error) {
        (Holder::VirtOtel, _) => Finding::well(check, format!("{option} {listen}: a virt-otel serves there")),
        (Holder::Another, _) => Finding::failure(
            check,
            format!("{option} {listen}: another program holds it, or only a part of the address"),
            format!("`ss -ltnp 'sport = :{port}'` names it: end it, or choose another address with {option}"),
        ),
        (Holder::Nobody, None) => Finding::well(check, format!("{option} {listen}: it is free")),
        (Holder::Nobody, Some(error)) => Finding::failure(
            check,
            format!("{option} {listen}: it cannot be listened on ({})", error.source),
            format!("choose an address of this machine with {option}, and a port above 1023 unless the agent is root"),
        ),
    }
}

async fn holder(listen: &Listen) -> Holder {
    let hosts: Vec<&str> = match listen.host.as_str() {
        "" => vec!["127.0.0.1", "::1"],
        host if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) => vec!["127.0.0.1", "::1"],
        host => vec![host],
    };
    for host in hosts {
        match tokio::time::timeout(PATIENCE, ask(host, listen.port)).await {
            Ok(Ok(holder)) => return holder,
            // Nobody listens there, or not under that name.
            Ok(Err(_)) => {}
            Err(_) => return Holder::Another,
        }
    }
    Holder::Nobody
}

/// Asks for the first page. An error only if there is no connection.
async fn ask(host: &str, port: u16) -> io::Result<Holder> {
    let mut stream = TcpStream::connect((host, port)).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut head = Vec::new();
    let answered = async {
        stream.write_all(request.as_bytes()).await?;
        let mut piece = [0; 512];
        while head.len() < HEAD && !has_ended(&head) {
            match stream.read(&mut piece).await? {
                0 => break,
                count => head.extend(piece.iter().take(count)),
            }
        }
        io::Result::Ok(())
    };
    Ok(if answered.await.is_ok() && is_of_virt_otel(&head) { Holder::VirtOtel } else { Holder::Another })
}

fn has_ended(head: &[u8]) -> bool {
    head.windows(4).any(|window| window == b"\r\n\r\n")
}

/// Whether the head of an answer says that a virt-otel gives it.
fn is_of_virt_otel(head: &[u8]) -> bool {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split("\r\n").take_while(|line| !line.is_empty());
    lines.any(|line| {
        let header = line.split_once(':');
        header.is_some_and(|(name, value)| name.eq_ignore_ascii_case("server") && value.trim() == SERVER)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::net::TcpListener;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::admin::{Content, Made, Paths, ScrapeCounters, Site, State};
    use crate::check::finding::Outcome;
    use crate::heartbeat::{Pulse, Still};
    use crate::web::testing::{Place, TLS, USERS};
    use crate::web::{Guard, WebCounters};

    struct Nothing;

    impl Content for Nothing {
        fn metrics(self: Arc<Self>, _: Option<String>) -> Made {
            Box::pin(std::future::ready(Ok(None)))
        }

        fn state(&self) -> State {
            State::default()
        }

        fn still(&self) -> Vec<Still> {
            Vec::new()
        }
    }

    fn at(port: u16) -> Listen {
        Listen { host: "127.0.0.1".to_owned(), port }
    }

    async fn outcome(port: u16) -> Outcome {
        probe(Check::Listen, "--listen", at(port)).await[0].outcome
    }

    #[tokio::test]
    async fn an_address_of_a_virt_otel_counts_as_well_whatever_it_serves_there() {
        let guarded_by = |document: &str| {
            let current = Place::new().current(document);
            Some(Arc::new(Guard::new(current, None, Arc::new(WebCounters::new()))))
        };
        for (paths, guard) in [
            (Paths::All, None),
            (Paths::Metrics, None),
            (Paths::Probes, None),
            (Paths::All, guarded_by(TLS)),
            (Paths::Metrics, guarded_by(USERS)),
            (Paths::All, guarded_by("rate_limit:\n  interval: 1h\n  burst: 1\n")),
        ] {
            let listeners = admin::bind("--listen", "127.0.0.1", 0).await.unwrap();
            let port = listeners[0].local_addr().unwrap().port();
            let stop = CancellationToken::new();
            let counters = Arc::new(ScrapeCounters::default());
            let site = Site { paths, content: Arc::new(Nothing), counters, guard };
            let serving = tokio::spawn(admin::serve(listeners, site, Pulse::default(), stop.clone()));
            // The second time, a rate may refuse.
            for _ in 0..2 {
                let finding = probe(Check::Listen, "--listen", at(port)).await.remove(0);
                assert_eq!(finding.outcome, Outcome::Well, "{paths:?}: {finding:?}");
                assert!(finding.detail.contains("a virt-otel serves there"), "{finding:?}");
            }
            stop.cancel();
            serving.await.unwrap();
        }
    }

    #[tokio::test]
    async fn an_address_that_is_free_is_well_and_left_free() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert_eq!(outcome(port).await, Outcome::Well);
        TcpListener::bind(("127.0.0.1", port)).await.expect("it is free again");
        assert_eq!(outcome(0).await, Outcome::Well);
    }

    #[tokio::test]
    async fn another_program_is_a_failure_whether_it_answers_hangs_up_or_says_nothing() {
        let answers = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = answers.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            let (mut stream, _) = answers.accept().await.unwrap();
            stream.write_all(b"HTTP/1.1 200 OK\r\nServer: nginx\r\n\r\nvirt-otel").await.unwrap();
            let (stream, _) = answers.accept().await.unwrap();
            drop(stream);
            let _held = answers.accept().await.unwrap();
            std::future::pending::<()>().await;
        });
        for _ in 0..3 {
            assert_eq!(outcome(port).await, Outcome::Failure);
        }
        serving.abort();
    }

    #[tokio::test]
    async fn an_address_of_another_machine_is_a_failure() {
        // Of the block for documentation: nobody has it.
        let listen = Listen { host: "192.0.2.1".to_owned(), port: 9_464 };
        let finding = judge(
            Check::Listen,
            "--listen",
            &listen,
            Holder::Nobody,
            admin::bind("--listen", &listen.host, listen.port).await.err(),
        );
        assert_eq!(finding.outcome, Outcome::Failure, "{finding:?}");
        assert!(finding.next_step.is_some());
    }
}
