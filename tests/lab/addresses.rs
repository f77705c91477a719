//! Every kind of address, with real daemons: through ssh, over TLS and TCP, at the sockets of modular daemons, and as a
//! user whom polkit admits.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::support::forward::Forward;
use super::support::impostor::{Impostor, Manner};
use super::support::layout::Program;
use super::support::pki::{Authority, Subject};
use super::support::polkit::Polkit;
use super::support::process::{self, Output};
use super::support::sshd::{Knows, Sshd};
use super::support::{Agent, Domain, Kind, Libvirtd, LibvirtdOptions, Metrics, skipped, wait_until};

const AGE: &str = "libvirt_domain_collection_age_seconds";
const CONNECTIONS: &str = "virt_otel_libvirt_connections";
const CONNECTS: &str = "virt_otel_libvirt_connects_total";
const CPU: &str = "libvirt_domain_cpu_usage_seconds_total";
const DISCONNECTS: &str = "virt_otel_libvirt_disconnects_total";
const UP: &str = "libvirt_up";

/// The guest of these tests.
const VM: &str = "far";

/// The interval of these tests, in seconds.
const INTERVAL: f64 = 2.0;

/// How long something that takes milliseconds may take on a busy machine: an ssh or TLS handshake with an agent built
/// without optimisation.
const SOON: Duration = Duration::from_secs(15);

/// How long a silent connection may go unnoticed: PINGs every 5 s, of which three may stay unanswered, and a margin for
/// a busy machine.
const MUTE: Duration = Duration::from_secs(20 + 5);

/// How long a killed child may take to be reaped.
const REAPED: Duration = Duration::from_secs(1);

/// How long a daemon on another host may take for its first answer.
const FIRST_WORD: Duration = Duration::from_secs(15);

/// A user that is not root: `nobody`.
const NOBODY: u32 = 65_534;

fn guest() -> Domain {
    Domain::quick(VM)
}

/// A daemon with the guest, and with these lines in its configuration.
fn daemon(listen: bool, configuration: &str) -> Libvirtd {
    let libvirtd_conf = configuration.to_owned();
    let libvirtd = Libvirtd::start(LibvirtdOptions { listen, libvirtd_conf, ..LibvirtdOptions::new(Kind::System) });
    libvirtd.create_paused(&guest());
    libvirtd
}

fn agent(uri: &str) -> Agent {
    Agent::start(&["--libvirt-uri", uri, "--interval", "2s", "--exporters", "prometheus"], &[])
}

/// The output of one `snapshot`.
fn ask(uri: &str) -> Output {
    Agent::output(&["snapshot", "--libvirt-uri", uri, "--format", "prometheus"], &[])
}

/// [`ask`], on the daemon's host.
fn ask_inside(libvirtd: &Libvirtd, user: u32, uri: &str) -> Output {
    let arguments = ["snapshot", "--libvirt-uri", uri, "--format", "prometheus"];
    Agent::output_inside(libvirtd.namespace(), user, &arguments, &[])
}

/// The guest was read.
#[track_caller]
fn assert_read(output: &Output) {
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(Metrics::parse(&output.stdout).has(CPU, &[("domain", VM)]), "the guest was not read: {output:?}");
}

/// It was not read; one warning contains all of this.
#[track_caller]
fn assert_refused(output: &Output, says: &[&str]) {
    assert_eq!(output.code, Some(1), "{output:?}");
    let warnings: Vec<&str> = output.stderr.lines().filter(|line| line.contains("WARN")).collect();
    assert_eq!(warnings.len(), 1, "{}", output.stderr);
    for word in says {
        assert!(warnings[0].contains(word), "{word:?} is not in: {}", warnings[0]);
    }
}

/// The guest's readings are recent.
fn is_fresh(page: &Metrics) -> bool {
    let ages = page.all(AGE, &[("domain", VM)]);
    page.get(UP, &[]) == Some(1.0)
        && page.has(CPU, &[("domain", VM)])
        && !ages.is_empty()
        && ages.iter().all(|sample| sample.value < 2.0 * INTERVAL)
}

fn losses(agent: &Agent) -> Vec<String> {
    agent.log().lines().filter(|line| line.contains("lost libvirt")).map(str::to_owned).collect()
}

/// Every process that the agent started is the ssh of a connection, and none is left over.
#[track_caller]
fn assert_an_ssh_for_each_connection(agent: &Agent) -> Vec<u32> {
    wait_until(SOON, "an ssh for each connection, and no other process", || {
        let (mut children, mut group) = (agent.children(), group_of(agent.pid()));
        children.sort_unstable();
        group.sort_unstable();
        let connections = agent.metrics().get(CONNECTIONS, &[])?;
        let is_for_each = u32::try_from(children.len()).is_ok_and(|count| f64::from(count) == connections);
        // A zombie, or a process that a child left behind, is in only one list.
        (is_for_each && children == group).then_some(children)
    })
}

/// Running processes that the agent, or one of its children, started.
fn group_of(agent: u32) -> Vec<u32> {
    let in_group = |pid: &u32| {
        // The command's name may contain anything; after its bracket come the state, the parent and the group.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let group = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2)?.parse().ok());
        *pid != agent && group == Some(agent) && process::alive(*pid)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(in_group).collect()
}

/// An agent reads through ssh while sessions are killed and frozen, and leaves no process behind.
fn read_through_ssh(proxy: &str, helper: &str) {
    let libvirtd = daemon(false, "");
    let sshd = Sshd::start(&libvirtd);
    let mut agent = agent(&sshd.uri(&format!("proxy={proxy}")));
    let page = agent.wait_for(SOON, "the guest, through ssh", is_fresh);
    assert_eq!(page.get(CONNECTS, &[]), Some(1.0), "{}", agent.log());
    let children = assert_an_ssh_for_each_connection(&agent);
    assert_eq!(libvirtd.namespace().running(helper), children.len(), "what is there at the other end:\n{}", sshd.log());

    // Somebody ends its sessions.
    let killed = sshd.signal_sessions(Signal::KILL);
    assert_eq!(killed.len(), children.len(), "a session for each ssh");
    let started = Instant::now();
    agent.wait_for(SOON, "the guest, after the end of the sessions", |page| {
        page.get(DISCONNECTS, &[]) == Some(1.0) && page.get(CONNECTS, &[]) == Some(2.0) && is_fresh(page)
    });
    println!("{proxy}: read again {:?} after the sessions were killed", started.elapsed());
    let told = losses(&agent);
    assert!(told.len() == 1 && told[0].contains("ssh has ended"), "{told:#?}");
    let after = assert_an_ssh_for_each_connection(&agent);
    assert!(after.len() <= children.len(), "{after:?} where {children:?} were");
    assert!(children.iter().all(|pid| !after.contains(pid)), "an ssh whose session has ended: {children:?} {after:?}");

    // They stop answering: nothing tells the ssh so.
    let stopped = sshd.signal_sessions(Signal::STOP);
    let started = Instant::now();
    agent.wait_for(MUTE, "the mute sessions to be noticed", |page| page.get(DISCONNECTS, &[]) == Some(2.0));
    println!("{proxy}: noticed {:?} after the sessions became mute", started.elapsed());
    wait_until(REAPED, "the ssh of mute sessions to be killed and taken in", || {
        after.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists()).then_some(())
    });
    agent.wait_for(SOON, "the guest, through new sessions", |page| {
        page.get(CONNECTS, &[]) == Some(3.0) && is_fresh(page)
    });
    let again = assert_an_ssh_for_each_connection(&agent);
    assert!(again.len() <= children.len(), "{again:?} where {children:?} were");
    assert_eq!(losses(&agent).len(), 2, "{}", agent.log());
    // The sessions were lost because they were silent, not because they ended.
    assert!(stopped.iter().all(|&pid| process::alive(pid)), "{}", sshd.log());
    stopped.iter().for_each(|&pid| process::signal(pid, Signal::KILL));

    let pid = agent.pid();
    let exit = agent.terminate();
    assert_eq!(exit.code, Some(0), "{exit:?}");
    wait_until(REAPED, "the end of every ssh", || {
        (group_of(pid).is_empty() && again.iter().all(|&pid| !process::alive(pid))).then_some(())
    });
    wait_until(SOON, "the end of every session", || {
        (sshd.sessions().is_empty() && libvirtd.namespace().running(helper) == 0).then_some(())
    });
}

#[test]
fn a_daemon_is_read_through_ssh_and_its_helper() {
    // The name as the kernel shows it.
    read_through_ssh("auto", "virt-ssh-helper");
}

#[test]
fn a_daemon_is_read_through_ssh_and_netcat() {
    read_through_ssh("netcat", "nc");
}

#[test]
fn an_ssh_that_gets_nowhere_is_given_up_and_none_outlives_its_agent() {
    let libvirtd = daemon(false, "");
    let sshd = Sshd::start(&libvirtd);
    // It accepts connections and says nothing.
    sshd.freeze();
    let agent = agent(&sshd.uri(""));
    let mut most = 0;
    let log = wait_until(FIRST_WORD + SOON, "the first attempt to be given up", || {
        most = most.max(agent.children().len());
        Some(agent.log()).filter(|log| log.contains("could not reach libvirt"))
    });
    assert!(log.contains("did not answer within 15s"), "{log}");
    assert_eq!(most, 1, "one attempt at a time");
    sshd.thaw();
    agent.wait_for(SOON, "the guest, once sshd answers", is_fresh);
    let children = assert_an_ssh_for_each_connection(&agent);

    // A killed agent cannot kill them. They notice that it is gone.
    process::signal(agent.pid(), Signal::KILL);
    wait_until(SOON, "the end of every ssh", || children.iter().all(|&pid| !process::alive(pid)).then_some(()));
    wait_until(SOON, "the end of every session", || sshd.sessions().is_empty().then_some(()));
}

#[test]
fn what_ssh_would_ask_is_an_error_that_says_so() {
    let libvirtd = daemon(false, "");
    let sshd = Sshd::start(&libvirtd);
    assert_read(&ask(&sshd.uri("proxy=native")));
    assert_read(&ask(&sshd.uri("socket=/run/libvirt/libvirt-sock-ro")));

    let asks = ["Host key verification failed", "ssh would ask whether the host's key is the right one", "known_hosts"];
    assert_refused(&ask(&sshd.uri_as(Knows::Nobody, "user", "")), &asks);
    assert_refused(
        &ask(&sshd.uri_as(Knows::Another, "user", "")),
        &["HAS CHANGED", "make sure that it is the right host"],
    );
    // The user takes the risk.
    assert_read(&ask(&sshd.uri_as(Knows::Nobody, "user", "no_verify=1")));
    let asks = ["Permission denied (", "ssh would ask for a password or a passphrase", "keyfile="];
    assert_refused(&ask(&sshd.uri_as(Knows::It, "stranger", "")), &asks);
    assert_refused(&ask(&sshd.uri("socket=/run/libvirt/none")), &["ssh has ended", "No such file or directory"]);

    // A host without virt-ssh-helper is read through netcat, and one without either says what it lacks.
    libvirtd.namespace().run("mount", &["--bind", "/dev/null", "/usr/bin/virt-ssh-helper"]);
    assert_read(&ask(&sshd.uri("")));
    let output = ask(&sshd.uri("netcat=/nonexistent/nc"));
    assert_refused(&output, &["/nonexistent/nc: not found", "the host needs virt-ssh-helper, or a netcat"]);
    wait_until(SOON, "the end of every session", || sshd.sessions().is_empty().then_some(()));
}

#[test]
fn a_daemon_is_read_over_tls_and_who_is_not_to_be_trusted_is_named() {
    const NAMES: &[&str] = &["localhost", "127.0.0.1"];
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let [certificate, key, ca] = ["servercert.pem", "serverkey.pem", "ca.pem"].map(|name| folder.path().join(name));
    let (authority, other) = (Authority::new("authority of the lab"), Authority::new("somebody else"));
    authority.write(&ca);
    let present = |signer: &Authority, subject| signer.issue(subject, &certificate, &key);
    present(&authority, Subject::Names(NAMES));
    // The daemon would not start with an expired certificate.
    let mut libvirtd = daemon(
        true,
        &format!(
            "listen_tls = 1\nlisten_tcp = 0\ntls_port = \"16999\"\nauth_tls = \"none\"\ntls_no_sanity_certificate = 1\n\
             cert_file = \"{}\"\nkey_file = \"{}\"\nca_file = \"{}\"\n",
            certificate.display(),
            key.display(),
            ca.display()
        ),
    );
    let client = authority.client(&folder.path().join("client"), &authority);
    let uri = |host: &str, pki: &Path| format!("qemu+tls://{host}:16999/system?pkipath={}", pki.display());
    let (named, numbered) = (uri("localhost", &client), uri("127.0.0.1", &client));
    assert_read(&ask_inside(&libvirtd, 0, &named));
    assert_read(&ask_inside(&libvirtd, 0, &numbered));
    // Without a transport, a host implies TLS.
    assert_read(&ask_inside(&libvirtd, 0, &named.replace("+tls", "")));

    // An agent on another network.
    let forward = Forward::to(libvirtd.namespace(), 16_999);
    let far = format!("qemu+tls://127.0.0.1:{}/system?pkipath={}", forward.port(), client.display());
    read_through_faults(&mut libvirtd, &far);

    // A user's own files are found where libvirt keeps them.
    let home = folder.path().join("home");
    authority.client(&home.join(".pki/libvirt"), &authority);
    let ask_at_home = || {
        let arguments = ["snapshot", "--libvirt-uri", "qemu+tls://localhost:16999/system", "--format", "prometheus"];
        let home = home.display().to_string();
        Agent::output_inside(libvirtd.namespace(), NOBODY, &arguments, &[("HOME", &home)])
    };
    assert_read(&ask_at_home());
    fs::remove_file(home.join(".pki/libvirt/clientkey.pem")).unwrap();
    assert_refused(&ask_at_home(), &["TLS with localhost", "the daemon wants a certificate of ours", "clientcert.pem"]);

    // We do not trust it, and it does not trust us.
    let stranger = other.client(&folder.path().join("of-other"), &authority);
    let output = ask_inside(&libvirtd, 0, &uri("localhost", &stranger));
    assert_refused(&output, &["TLS with localhost", "signed by a CA that is not in cacert.pem"]);
    let stranger = authority.client(&folder.path().join("by-other"), &other);
    let output = ask_inside(&libvirtd, 0, &uri("localhost", &stranger));
    assert_refused(&output, &["TLS with localhost", "our certificate", "tls_allowed_dn_list"]);
    let nothing = folder.path().join("nothing");
    let output = ask_inside(&libvirtd, 0, &uri("localhost", &nothing));
    assert_refused(&output, &[&nothing.join("cacert.pem").display().to_string(), "is not there"]);
    let output = Agent::output(&["snapshot", "--libvirt-uri", &format!("{named}&no_verify=1")], &[]);
    assert!(output.code != Some(0) && output.stderr.contains("no_verify"), "{output:?}");

    let list = authority.client(&folder.path().join("list"), &authority);
    authority.revoke(&list.join("cacrl.pem"));
    let revoking = uri("localhost", &list);
    assert_read(&ask_inside(&libvirtd, 0, &revoking));
    for (subject, uri, says) in [
        (Subject::Expired(NAMES), &named, &["the daemon's certificate has expired", "servercert.pem"][..]),
        (
            Subject::Names(&["other.test"]),
            &named,
            &["the daemon's certificate is for", "other.test", "subjectAltName localhost"],
        ),
        (
            Subject::CommonName("localhost"),
            &named,
            &["has no subjectAltName", "common name is not looked at", "subjectAltName localhost"],
        ),
        (Subject::Revoked(NAMES), &revoking, &["the daemon's certificate is revoked", "cacrl.pem"]),
        (Subject::CommonName("127.0.0.1"), &numbered, &["has no subjectAltName", "subjectAltName 127.0.0.1"]),
    ] {
        present(&authority, subject);
        libvirtd.restart();
        assert_refused(&ask_inside(&libvirtd, 0, uri), says);
    }
    present(&authority, Subject::Names(NAMES));
    libvirtd.restart();
    assert_read(&ask_inside(&libvirtd, 0, &named));
}

#[test]
fn a_daemon_is_read_over_tcp_where_it_wants_no_authentication() {
    let listening = |auth: &str| daemon(true, &format!("listen_tls = 0\nlisten_tcp = 1\nauth_tcp = \"{auth}\"\n"));
    let mut libvirtd = listening("none");
    assert_read(&ask_inside(&libvirtd, 0, "qemu+tcp://localhost/system"));
    assert_read(&ask_inside(&libvirtd, 0, "qemu+tcp://127.0.0.1:16509/system"));
    // Some kernels have no IPv6.
    if !libvirtd.namespace().run("cat", &["/proc/net/if_inet6"]).is_empty() {
        assert_read(&ask_inside(&libvirtd, 0, "qemu+tcp://[::1]/system"));
    }
    let output = ask_inside(&libvirtd, 0, "qemu+tcp://localhost:1/system");
    assert_refused(
        &output,
        &["localhost does not take connections on port 1", "is its daemon told to listen there?", "Connection refused"],
    );
    let forward = Forward::to(libvirtd.namespace(), 16_509);
    read_through_faults(&mut libvirtd, &format!("qemu+tcp://127.0.0.1:{}/system", forward.port()));
    drop((forward, libvirtd));

    let libvirtd = listening("sasl");
    assert_refused(&ask_inside(&libvirtd, 0, "qemu+tcp://localhost/system"), &["the daemon wants SASL", "cannot do"]);
}

/// The daemon is restarted and frozen while an agent reads it over TCP, with or without TLS.
fn read_through_faults(libvirtd: &mut Libvirtd, uri: &str) {
    let mut agent = agent(uri);
    agent.wait_for(SOON, "the guest", is_fresh);
    libvirtd.restart();
    agent.wait_for(SOON, "the guest, after the restart", |page| {
        page.get(DISCONNECTS, &[]) == Some(1.0) && page.get(CONNECTS, &[]) == Some(2.0) && is_fresh(page)
    });
    assert_eq!(losses(&agent).len(), 1, "{}", agent.log());

    libvirtd.freeze_daemon();
    let started = Instant::now();
    agent.wait_for(MUTE, "the mute daemon to be noticed", |page| page.get(UP, &[]) == Some(0.0));
    println!("{uri}: noticed {:?} after the daemon became mute", started.elapsed());
    assert_eq!(losses(&agent).len(), 2, "{}", agent.log());
    libvirtd.thaw_daemon();
    agent.wait_for(SOON, "the guest, once the daemon answers again", is_fresh);
    assert_eq!(agent.metrics().get(CONNECTS, &[]), Some(3.0), "{}", agent.log());
    assert!(agent.children().is_empty(), "it has started something");
    let exit = agent.terminate();
    assert_eq!(exit.code, Some(0), "{exit:?}");
}

/// The usual URI, with whatever sockets exist.
#[test]
fn the_read_only_socket_that_is_there_is_taken_as_libvirts_client_does() {
    const URI: &str = "qemu:///system";
    if !Program::installed().has_other_drivers() {
        // The sockets of a virtqemud, which is what is there, are tried by every other test.
        return skipped("it renames the sockets of a libvirtd");
    }
    let libvirtd = daemon(false, "");
    let socket = |name: &str| libvirtd.socket().with_file_name(name);
    let [libvirt, libvirt_ro, virtqemud, virtqemud_ro] =
        ["libvirt-sock", "libvirt-sock-ro", "virtqemud-sock", "virtqemud-sock-ro"].map(socket);
    // libvirt's own client at the same place.
    let virsh = || {
        let mut command = libvirtd.namespace().command("virsh");
        command.args(["--readonly", "--connect", URI, "list", "--name"]);
        process::run(command, Duration::from_secs(20)).expect("virsh within 20 s")
    };
    let both_read = || {
        let output = virsh();
        assert!(output.code == Some(0) && output.stdout.contains(VM), "{output:?}");
        assert_read(&ask_inside(&libvirtd, 0, URI));
    };

    // libvirtd's sockets: nobody uses the read-write one.
    fs::rename(&libvirt, socket("aside")).unwrap();
    let writing = Impostor::start(&libvirt, 0, Manner::HangUp);
    both_read();

    // Only the modular daemon's.
    fs::rename(&libvirt_ro, &virtqemud_ro).unwrap();
    fs::rename(&libvirt, &virtqemud).unwrap();
    both_read();
    assert_eq!(writing.clients(), 0, "somebody went to the socket for writing");

    // Both: the modular daemon takes precedence.
    let legacy = Impostor::start(&libvirt_ro, 0, Manner::HangUp);
    both_read();
    assert_eq!(legacy.clients(), 0, "somebody went to libvirtd where a virtqemud is");
    // Unless the URI asks for the other.
    let output = ask_inside(&libvirtd, 0, &format!("{URI}?mode=legacy"));
    assert_refused(&output, &["hung up: is it a libvirt socket?"]);
    assert!(legacy.clients() > 0, "nobody went to libvirtd");
    drop(legacy);

    // None: the error names where it looked.
    fs::remove_file(&libvirt_ro).unwrap();
    fs::rename(&virtqemud_ro, socket("aside-ro")).unwrap();
    assert_refused(&ask_inside(&libvirtd, 0, URI), &["/run/libvirt/libvirt-sock-ro", "is not there"]);
    assert_refused(&ask_inside(&libvirtd, 0, &format!("{URI}?mode=direct")), &["/run/libvirt/virtqemud-sock-ro"]);
    assert_eq!(writing.clients(), 0, "somebody went to the socket for writing");
}

#[test]
fn a_user_is_let_in_by_polkit_and_told_why_if_not() {
    const URI: &str = "qemu:///system";
    let mut libvirtd = daemon(false, "auth_unix_ro = \"polkit\"\n");
    Polkit::hide(&libvirtd);
    // libvirtd looks for the bus only once.
    libvirtd.restart();
    let output = ask_inside(&libvirtd, NOBODY, URI);
    assert_refused(&output, &["could not ask polkit", "Unable to get system bus connection"]);
    // A daemon that has just started is busy with its guest for a moment.
    let read = |libvirtd: &Libvirtd, user: u32| {
        let output = wait_until(SOON, "a complete answer", || {
            Some(ask_inside(libvirtd, user, URI)).filter(|output| output.code == Some(0))
        });
        assert_read(&output);
    };
    // Root needs no polkit.
    read(&libvirtd, 0);

    let _polkit = Polkit::start(&libvirtd);
    libvirtd.restart();
    read(&libvirtd, NOBODY);

    // polkit loads a rule when it notices it.
    Polkit::forbid(&libvirtd);
    let output = wait_until(SOON, "the rule to be taken in", || {
        Some(ask_inside(&libvirtd, NOBODY, URI)).filter(|output| output.code != Some(0))
    });
    assert_refused(&output, &["polkit does not let this user read libvirt", "org.libvirt.unix.monitor"]);
    assert_read(&ask_inside(&libvirtd, 0, URI));
}
