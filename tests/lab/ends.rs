//! An agent that ends closes its connections properly: its daemon logs no error.

use std::time::Duration;

use super::support::{Agent, Domain, Libvirtd, Node, wait_until};

const CPU: &str = "libvirt_domain_cpu_usage_seconds_total";
const CPU_OF_VMI: &str = "kubevirt_vmi_cpu_usage_seconds_total";
const STUCK: &str = "libvirt_domain_collection_stuck";

/// What a daemon logs when a client disappears without closing its connection.
const GONE: &str = "End of file while reading data";

/// How long the daemon may take to notice that.
const NOTICED: Duration = Duration::from_secs(5);

/// How much longer an end that waits for a daemon's answer may take.
const FAREWELL: Duration = Duration::from_millis(100);

const ROUNDS: usize = 5;

/// How long something that takes the agent a second or two may take on a busy machine.
const SOON: Duration = Duration::from_secs(15);

/// What the daemon has logged as an error so far.
fn errors(libvirtd: &Libvirtd) -> Vec<String> {
    libvirtd.log().lines().filter(|line| line.contains(": error :")).map(str::to_owned).collect()
}

fn agent(uri: &str) -> Agent {
    Agent::start(&["--libvirt-uri", uri, "--interval", "1s", "--exporters", "prometheus"], &[])
}

#[test]
fn an_end_in_order_is_no_error_to_the_daemon() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::tcg("steady"));
    let uri = libvirtd.read_only_uri();
    let read = |agent: &Agent| agent.wait_for(SOON, "the guest", |page| page.has(CPU, &[("domain", "steady")]));

    // A killed agent is an error, which shows that such errors are logged.
    let killed = agent(&uri);
    read(&killed);
    drop(killed);
    wait_until(NOTICED, "the error that a client is gone", || libvirtd.log().contains(GONE).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    let before = errors(&libvirtd).len();

    let alone = (0..ROUNDS).map(|_| {
        let mut agent = agent(&format!("{uri}-of-nobody"));
        agent.wait_for(SOON, "nobody to be there", |page| page.get("libvirt_up", &[]) == Some(0.0));
        agent.terminate()
    });
    let alone = alone.map(|exit| exit.took).max().unwrap();
    let mut slowest = Duration::ZERO;
    for _ in 0..ROUNDS {
        let mut agent = agent(&uri);
        read(&agent);
        std::thread::sleep(Duration::from_millis(1_500));
        let exit = agent.terminate();
        assert_eq!(exit.code, Some(0), "{}", agent.log());
        slowest = slowest.max(exit.took);
        let snapshot = Agent::output(&["snapshot", "--libvirt-uri", &uri], &[]);
        assert_eq!(snapshot.code, Some(0), "{}", snapshot.stderr);
    }
    println!("the end took {slowest:?} at most, and {alone:?} where there is no daemon");
    assert!(slowest < alone + FAREWELL, "{slowest:?}, and {alone:?} where there is no daemon");
    // Time for the daemon to log any error.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(errors(&libvirtd)[before..], [""; 0]);
}

/// A connection that is no longer needed is closed properly, too.
#[test]
fn a_connection_that_is_closed_in_between_is_no_error_to_the_daemon() {
    let launcher = Node::new("node-a").launcher();
    launcher.create_paused(&Domain::tcg("shop_web").like_kubevirt());
    let before = errors(&launcher).len();
    let mut agent = Agent::in_pod(&launcher, "shop", &[], None);
    agent.wait_for(SOON, "the guest", |page| page.has(CPU_OF_VMI, &[]));
    // Its XML and its statistics were read concurrently; after that one connection for calls is enough.
    agent.wait_for(SOON, "two connections", |page| {
        page.all("virt_otel_libvirt_connections", &[]).iter().map(|sample| sample.value).sum::<f64>() == 2.0
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(agent.terminate().code, Some(0));
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(errors(&launcher)[before..], [""; 0]);
}

/// The connection of a call that hangs in a VM is closed as well, and the daemon logs no error: neither then, nor when
/// the call returns.
#[test]
fn an_end_while_a_call_hangs_is_no_error_to_the_daemon() {
    let libvirtd = Libvirtd::system();
    for name in ["steady", "frozen"] {
        libvirtd.create_paused(&Domain::tcg(name));
    }
    libvirtd.freeze("frozen");
    let mut agent = agent(&libvirtd.read_only_uri());
    agent.wait_for(SOON, "the guest that is stuck", |page| page.get(STUCK, &[("domain", "frozen")]) == Some(1.0));
    let before = errors(&libvirtd).len();
    assert_eq!(agent.terminate().code, Some(0), "{}", agent.log());
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(errors(&libvirtd)[before..], [""; 0]);
    libvirtd.thaw("frozen");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(errors(&libvirtd)[before..], [""; 0]);
}
