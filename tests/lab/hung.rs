//! VMs that hang from before the agent's start on, or through a restart of libvirtd: on every version of libvirt, each VM
//! has its type as soon as libvirt can tell it, and no healthy VM is late.
//!
//! From libvirt 11 on, a domain's XML waits up to 30 s for any call that hangs in that domain, and too many waiting calls
//! leave the daemon without a worker for any client. So what the agent has out is counted at the socket.

use std::time::{Duration, Instant};

use super::support::hostile::{Hostile, Manner};
use super::support::process::{self, Process};
use super::support::proxy::{Proxy, Traffic};
use super::support::{Agent, Domain, Libvirtd, Metrics, answer_within, kvm_or_skip, virsh, wait_until};

/// Within what time a type is known that libvirt can tell: two intervals on a quiet machine, and three times as much
/// here.
const AT_ONCE: Duration = Duration::from_secs(6);
/// How long libvirt lets a domain's XML wait for another call in that domain, and some more.
const XML_WAITS: Duration = Duration::from_secs(40);
/// Within what time a daemon that is not wedged answers another client, on a busy machine.
const ANSWERS: Duration = Duration::from_secs(5);
/// Calls that are let hang: eight that began one after the other left every daemon able to answer.
const MOST_TOGETHER: usize = 8 + 1;
/// Calls that begin together: with five no daemon was ever wedged, with eight some were.
const MOST_AT_ONCE: usize = 4 + 1;

fn agent(uri: &str) -> Agent {
    Agent::start(&["--libvirt-uri", uri, "--interval", "1s", "--exporters", "prometheus"], &[])
}

/// The type that the page gives a domain, unless it is unknown.
fn hypervisor(page: &Metrics, name: &str) -> Option<String> {
    let types = page.all("libvirt_domain_hypervisor_info", &[("domain", name)]);
    let label = types.first()?.label("hypervisor_type")?;
    (label != "unknown").then(|| label.to_owned())
}

/// Waits until each of these domains has its type; if one has none, says what the page has of it.
#[track_caller]
fn wait_types<S: AsRef<str>>(agent: &Agent, names: &[S], within: Duration, what: &str) {
    let began = Instant::now();
    let missing = |page: &Metrics| names.iter().map(AsRef::as_ref).find(|name| hypervisor(page, name).is_none());
    if answer_within(within, || missing(&agent.metrics()).is_none().then_some(())).is_none() {
        let page = agent.metrics();
        let without = missing(&page);
        let of_it: Vec<_> = page.samples.iter().filter(|sample| sample.label("domain") == without).collect();
        panic!("not all types of {what} in {within:?}; of {without:?}: {of_it:#?}\n{}", agent.log());
    }
    println!("the types of {what} after {:.1} s", began.elapsed().as_secs_f64());
}

/// Watches that these domains keep their type and are read in time.
#[track_caller]
fn watch<S: AsRef<str>>(agent: &Agent, names: &[S], for_how_long: Duration) {
    let began = Instant::now();
    while began.elapsed() < for_how_long {
        let page = agent.metrics();
        for name in names.iter().map(AsRef::as_ref) {
            assert!(hypervisor(&page, name).is_some(), "{name} has lost its type:\n{}", agent.log());
            let age = page.get("libvirt_domain_collection_age_seconds", &[("domain", name), ("group", "state")]);
            assert!(age.is_some_and(|age| age < 6.0), "{name} was read {age:?} s ago:\n{}", agent.log());
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// Another client whose calls into a domain hang while its QEMU is frozen.
fn hang(libvirtd: &Libvirtd, name: &str) -> Process {
    let busy = libvirtd.busy_workers();
    let command = virsh::command(&libvirtd.uri(), &["domstats", name]);
    let client = Process::spawn("virsh domstats", command, &libvirtd.folder().join("foreign.log"));
    wait_until(Duration::from_secs(10), "a call that hangs", || (libvirtd.busy_workers() > busy).then_some(()));
    client
}

#[track_caller]
fn another_client_is_answered(libvirtd: &Libvirtd, name: &str) {
    for arguments in [["domstats", name], ["dumpxml", name], ["domstate", name]] {
        let answer = libvirtd.virsh_within(ANSWERS, &arguments);
        assert!(answer.is_ok(), "virsh {arguments:?}: {answer:?}");
    }
    let capabilities = libvirtd.virsh_within(ANSWERS, &["capabilities"]);
    assert!(capabilities.is_ok(), "virsh capabilities: {capabilities:?}");
}

/// What is out at a time never comes near what leaves a daemon without a worker.
#[track_caller]
fn check_what_is_out(traffic: &Traffic) {
    let Traffic { most_together, most_at_once, most_for_xml, most_for_xml_of_one, .. } = *traffic;
    println!("unanswered calls: {most_together} at most, {most_at_once} of them young, {most_for_xml} for XML");
    assert!(most_together <= MOST_TOGETHER, "{most_together} calls were out");
    assert!(most_at_once <= MOST_AT_ONCE, "{most_at_once} calls began together");
    assert_eq!(most_for_xml_of_one, 1, "calls for one domain's XML");
    assert_eq!(traffic.most_on_one_connection, 1, "a connection never carries a call beside one that may be late");
}

#[test]
fn a_vm_that_is_frozen_when_the_agent_starts_has_its_type_at_once() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(9);
    libvirtd.freeze("vm04");
    let agent = agent(&libvirtd.uri());
    wait_types(&agent, &names, AT_ONCE, "nine, one of them frozen");
    watch(&agent, &names, Duration::from_secs(8));
}

#[test]
fn beside_a_call_of_another_client_that_hangs_the_other_vms_have_their_types_at_once() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(9);
    let (frozen, others) = names.split_first().unwrap();
    libvirtd.freeze(frozen);
    let _foreign = hang(&libvirtd, frozen);
    let agent = agent(&libvirtd.uri());
    let began = Instant::now();
    wait_types(&agent, others, AT_ONCE, "the eight others");
    if libvirtd.version() < vec![11] {
        wait_types(&agent, &[frozen], AT_ONCE, "the one in which a call hangs");
    } else {
        // It is shown, and nothing is claimed of it, until libvirt says it.
        agent.wait_for(AT_ONCE, "the frozen guest", |page| {
            page.has("libvirt_domain_hypervisor_info", &[("domain", frozen), ("hypervisor_type", "unknown")])
        });
        let libvirt = libvirtd.virsh_within(XML_WAITS, &["dumpxml", frozen]);
        match libvirt {
            Ok(_) => wait_types(&agent, &[frozen], AT_ONCE, "the one in which a call hangs"),
            // libvirt 11.0 to 11.4 as it was released gives the XML to nobody meanwhile.
            Err(error) => {
                assert!(error.contains("state change lock"), "virsh dumpxml {frozen}: {error}");
                assert_eq!(hypervisor(&agent.metrics(), frozen), None);
                libvirtd.thaw(frozen);
                // The next query may just have been sent.
                wait_types(&agent, &[frozen], XML_WAITS, "the one that was thawed");
            }
        }
    }
    println!("in all after {:.1} s", began.elapsed().as_secs_f64());
    watch(&agent, &names, Duration::from_secs(8));
}

#[test]
fn with_six_of_nine_frozen_no_healthy_vm_is_late_and_a_new_one_has_its_type_at_once() {
    let libvirtd = Libvirtd::system();
    let mut names = libvirtd.create_paused_guests(9);
    names[..6].iter().for_each(|name| libvirtd.freeze(name));
    let proxy = Proxy::start(&libvirtd.socket());
    let agent = agent(&proxy.uri(&libvirtd.uri()));
    wait_types(&agent, &names, AT_ONCE, "nine, six of them frozen");
    watch(&agent, &names[6..], Duration::from_secs(8));
    libvirtd.create_paused(&Domain::quick("new").disks(1));
    wait_types(&agent, &["new"], AT_ONCE, "the new one");
    names.push("new".to_owned());
    watch(&agent, &names[6..], Duration::from_secs(20));
    let refused = agent.metrics().get("virt_otel_libvirt_requests_refused_total", &[]);
    assert_eq!(refused.unwrap_or(0.0), 0.0, "requests were refused:\n{}", agent.log());
    another_client_is_answered(&libvirtd, "vm08");
    check_what_is_out(&proxy.traffic());
}

#[test]
fn a_frozen_vm_keeps_its_type_through_a_restart_of_libvirtd() {
    let mut libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(9);
    let agent = agent(&libvirtd.uri());
    wait_types(&agent, &names, AT_ONCE, "nine");
    libvirtd.freeze("vm04");
    agent.wait_for(Duration::from_secs(15), "the frozen guest to be stuck", |page| {
        page.get("libvirt_domain_collection_stuck", &[("domain", "vm04")]) == Some(1.0)
    });
    libvirtd.kill();
    agent.wait_for(AT_ONCE, "the daemon to be down", |page| page.get("libvirt_up", &[]) == Some(0.0));
    assert_eq!(hypervisor(&agent.metrics(), "vm04"), None, "nobody can vouch for it");
    libvirtd.launch();
    agent.wait_for(Duration::from_secs(30), "the daemon to be up", |page| page.get("libvirt_up", &[]) == Some(1.0));
    wait_types(&agent, &names, AT_ONCE, "nine after the restart, one of them frozen");
    watch(&agent, &names, Duration::from_secs(15));
}

#[test]
fn an_agent_that_is_killed_three_times_leaves_healthy_vms_and_other_clients_alone() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(11);
    let (doomed, healthy) = names.split_at(8);
    let proxy = Proxy::start(&libvirtd.socket());
    let start = || {
        proxy.begin_anew();
        agent(&proxy.uri(&libvirtd.uri()))
    };
    let mut agent = start();
    wait_types(&agent, &names, AT_ONCE, "eleven");
    doomed.iter().for_each(|name| libvirtd.freeze(name));
    agent.wait_for(Duration::from_secs(60), "eight stuck guests", |page| {
        doomed.iter().all(|name| page.get("libvirt_domain_collection_stuck", &[("domain", name)]) == Some(1.0))
    });
    let began = Instant::now();
    for round in 1..=3 {
        check_what_is_out(&proxy.traffic());
        drop(agent);
        agent = start();
        wait_types(&agent, healthy, AT_ONCE, &format!("three healthy ones after kill {round}"));
        watch(&agent, healthy, Duration::from_secs(4));
        another_client_is_answered(&libvirtd, &healthy[0]);
    }
    println!("three kills in {:.1} s", began.elapsed().as_secs_f64());
    watch(&agent, healthy, Duration::from_secs(15));
    another_client_is_answered(&libvirtd, &healthy[0]);
    check_what_is_out(&proxy.traffic());
}

#[test]
fn a_daemon_in_which_the_calls_of_others_hang_is_not_brought_near_its_limit() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(9);
    // One after the other, and no more than a daemon bears.
    let _foreign: Vec<Process> = names[..4]
        .iter()
        .map(|name| {
            libvirtd.freeze(name);
            hang(&libvirtd, name)
        })
        .collect();
    let proxy = Proxy::start(&libvirtd.socket());
    let agent = agent(&proxy.uri(&libvirtd.uri()));
    wait_types(&agent, &names[4..], AT_ONCE, "the five others");
    let mut most_busy = 0;
    let began = Instant::now();
    let watched = if libvirtd.version() < vec![11] { Duration::from_secs(10) } else { XML_WAITS };
    while began.elapsed() < watched {
        most_busy = most_busy.max(libvirtd.busy_workers());
        watch(&agent, &names[4..], Duration::from_millis(500));
    }
    another_client_is_answered(&libvirtd, "vm08");
    println!("{most_busy} workers were busy at most, four of them for others");
    assert!(most_busy <= 4 + MOST_AT_ONCE, "{most_busy} busy workers");
    check_what_is_out(&proxy.traffic());
}

/// Calls of a command beside an agent that are let hang, and those of it that begin together.
const MOST_BESIDE: usize = 2;
const MOST_BESIDE_AT_ONCE: usize = 1;

/// What a command that runs beside an agent has out at a time.
#[track_caller]
fn check_what_a_command_has_out(what: &str, traffic: &Traffic) {
    let Traffic { most_together, most_at_once, most_for_xml_of_one, .. } = *traffic;
    println!("{what}: {most_together} unanswered calls at most, {most_at_once} of them young");
    assert!(most_together <= MOST_BESIDE + MOST_BESIDE_AT_ONCE, "{what}: {most_together} calls were out");
    // One that is just being left behind looks young to the proxy.
    assert!(most_at_once <= MOST_BESIDE_AT_ONCE + 1, "{what}: {most_at_once} calls began together");
    assert!(most_for_xml_of_one <= 1, "{what}: {most_for_xml_of_one} calls for one domain's XML");
}

/// The agent has eight calls in twelve frozen VMs. Each command that reads beside it leaves two at most in the four others,
/// and neither the agent nor another client notices.
#[test]
fn beside_an_agent_with_twelve_frozen_vms_a_command_leaves_two_calls_behind_and_wedges_nothing() {
    let libvirtd = Libvirtd::system();
    let names = libvirtd.create_paused_guests(15);
    let (frozen, healthy) = names.split_at(12);
    let agent = agent(&libvirtd.uri());
    wait_types(&agent, &names, AT_ONCE, "fifteen");
    frozen.iter().for_each(|name| libvirtd.freeze(name));
    agent.wait_for(Duration::from_secs(90), "eight calls that hang", |page| {
        page.get("virt_otel_libvirt_calls_abandoned", &[]).is_some_and(|count| count >= 8.0)
    });
    for command in [&["check", "--format", "json"][..], &["snapshot", "--format", "table"]] {
        let (what, proxy) = (command[0], Proxy::start(&libvirtd.socket()));
        let uri = proxy.uri(&libvirtd.uri());
        let busy = libvirtd.busy_workers();
        let mut arguments = vec![command[0], "--libvirt-uri", &uri];
        arguments.extend(&command[1..]);
        let output = Agent::output(&arguments, &[]);
        check_what_a_command_has_out(what, &proxy.traffic());
        // Every VM is named, and those that hang are no reason to name none of the others.
        match what {
            "check" => {
                assert!([Some(1), Some(2)].contains(&output.code), "{:?}: {}", output.code, output.stderr);
                let report: serde_json::Value = serde_json::from_str(&output.stdout).expect("one object");
                let of = |check: &str| {
                    let findings = report["findings"].as_array().expect("a list");
                    findings.iter().filter(|finding| finding["check"] == check).cloned().collect::<Vec<_>>()
                };
                assert_eq!(of("libvirt-socket")[0]["outcome"], "well", "{report}");
                assert_eq!(of("vm-readings")[0]["outcome"], "warning", "{report}");
                assert_eq!(report["series"]["vms"], 15, "{report}");
            }
            _ => {
                assert_eq!(output.code, Some(1), "{}", output.stderr);
                assert!(names.iter().all(|name| output.stdout.contains(name.as_str())), "{}", output.stdout);
            }
        }
        another_client_is_answered(&libvirtd, &healthy[0]);
        watch(&agent, healthy, Duration::from_secs(4));
        let after = libvirtd.busy_workers();
        // One of the agent's may run at either moment.
        assert!(after <= busy + MOST_BESIDE + 1, "{what} left {after} busy workers where {busy} were before");
        // What it left behind returns with the QEMUs, and the next command begins with none of it.
        frozen.iter().for_each(|name| libvirtd.thaw(name));
        wait_until(Duration::from_secs(60), "every hung call to return", || {
            (agent.metrics().get("virt_otel_libvirt_calls_abandoned", &[]) == Some(0.0)).then_some(())
        });
        frozen.iter().for_each(|name| libvirtd.freeze(name));
        agent.wait_for(Duration::from_secs(90), "eight calls that hang again", |page| {
            page.get("virt_otel_libvirt_calls_abandoned", &[]).is_some_and(|count| count >= 8.0)
        });
    }
}

/// A record of twelve thousand parameters.
#[test]
fn a_vm_of_240_vcpus_and_24_disks_is_read_whole() {
    if !kvm_or_skip() {
        return;
    }
    let libvirtd = Libvirtd::system();
    let large = Domain::kvm("large").vcpus(240, 240).memory_mib(256).disks(24).nics(1);
    libvirtd.create_paused(&large);
    let agent = agent(&libvirtd.uri());
    let count = |page: &Metrics, metric: &str| page.all(metric, &[("domain", "large")]).len();
    let page = agent.wait_for(Duration::from_secs(30), "the large guest", |page| {
        count(page, "libvirt_domain_network_receive_bytes_total") == 1
    });
    assert_eq!(count(&page, "libvirt_domain_vcpu_seconds_total"), 240);
    assert_eq!(count(&page, "libvirt_domain_storage_iops_read_total"), 24);
    assert_eq!(page.get("libvirt_domain_collection_success", &[("domain", "large")]), Some(1.0));
    assert!(process::alive(agent.pid()), "{}", agent.log());
}

/// Larger than a test machine can start: a fake daemon tells of it.
#[test]
fn a_vm_of_512_vcpus_and_64_disks_is_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("libvirt-sock");
    let _daemon = Hostile::start(&socket, 0, Manner::Large, "large");
    let agent = agent(&format!("qemu+unix:///system?socket={}", socket.display()));
    let count = |page: &Metrics, metric: &str| page.all(metric, &[("domain", "large")]).len();
    let page = agent.wait_for(Duration::from_secs(30), "the large guest", |page| {
        count(page, "libvirt_domain_storage_iops_read_total") > 0
    });
    assert_eq!(count(&page, "libvirt_domain_vcpu_seconds_total"), 512);
    assert_eq!(count(&page, "libvirt_domain_storage_iops_read_total"), 64);
    assert_eq!(page.get("libvirt_domain_collection_success", &[("domain", "large")]), Some(1.0));
    assert_eq!(page.get("virt_otel_unknown_parameters_total", &[]), Some(0.0));
}

/// From libvirt 11 on, the call that hung is then answered, with 0 for what the QEMU's process would have said.
#[test]
fn a_frozen_vm_whose_qemu_is_killed_is_gone_and_no_0_stands_for_it_meanwhile() {
    let libvirtd = Libvirtd::system();
    libvirtd.create_paused(&Domain::quick("dies").disks(1).nics(1));
    let agent = agent(&libvirtd.uri());
    wait_types(&agent, &["dies"], AT_ONCE, "one");
    let figures = ["libvirt_domain_memory_resident_bytes", "libvirt_domain_vcpu_delay_seconds_total"];
    agent.wait_for(AT_ONCE, "its figures", |page| figures.iter().all(|name| page.has(name, &[("domain", "dies")])));
    libvirtd.freeze("dies");
    agent.wait_for(Duration::from_secs(15), "it to be stuck", |page| {
        page.get("libvirt_domain_collection_stuck", &[("domain", "dies")]) == Some(1.0)
    });
    let before = agent.metrics();
    let delay = before.get(figures[1], &[("domain", "dies")]);
    libvirtd.kill_qemu("dies");
    wait_until(Duration::from_secs(10), "it to be gone", || {
        let page = agent.metrics();
        assert!(page.get(figures[0], &[("domain", "dies")]) != Some(0.0), "0 bytes resident:\n{}", agent.log());
        let now = page.get(figures[1], &[("domain", "dies")]);
        assert!(now.is_none() || now >= delay, "a counter went back from {delay:?} to {now:?}");
        (!page.has("libvirt_domain_hypervisor_info", &[("domain", "dies")])).then_some(())
    });
}
