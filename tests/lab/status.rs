//! The status page of an agent that reads a host with a frozen VM and a daemon that is away.

use std::time::Duration;

use super::support::{Agent, Collector, CollectorOptions, Domain, Libvirtd, wait_until};

/// How long something may take to show, on a busy machine.
const SOON: Duration = Duration::from_secs(30);
/// Nothing listens there.
const ABSENT: &str = "qemu+unix:///system?socket=/nonexistent/libvirt-sock-ro";

fn page(agent: &Agent) -> String {
    let answer = agent.get("/", &[]).expect("an answer");
    assert_eq!(answer.status, 200);
    answer.text()
}

/// The row of a VM.
fn row<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    page.lines().find(|line| line.contains(&format!("<th scope=\"row\">{name}<")))
}

#[test]
fn a_person_sees_each_vm_what_it_does_and_why_one_is_not_read() {
    let libvirtd = Libvirtd::system();
    libvirtd.create(&Domain::tcg("busy").disks(1).nics(1));
    let names = libvirtd.create_paused_guests(2);
    libvirtd.freeze(&names[1]);
    let collector = Collector::start(CollectorOptions::file());
    let arguments = ["--libvirt-uri", &libvirtd.uri(), "--libvirt-uri", ABSENT, "--interval", "1s"];
    let agent = Agent::start(&arguments, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    let shown = |what: &str, wanted: &dyn Fn(&str) -> bool| {
        wait_until(SOON, what, || {
            let page = page(&agent);
            wanted(&page).then_some(page)
        })
    };
    shown("an emulated VM with its use of a processor", &|page| {
        let cpu = row(page, "busy").and_then(|row| row.split("<td>").nth(3));
        cpu.is_some_and(|cpu| cpu.parse::<f64>().is_ok())
            && row(page, "busy").is_some_and(|row| row.contains("qemu-tcg"))
    });
    let page = shown("why one is not read", &|page| {
        row(page, &names[1]).is_some_and(|row| row.contains("its QEMU does not answer"))
    });
    let place = |name: &str| page.find(&format!(">{name}<")).expect("its row");
    assert!(
        place(&names[1]) < place("busy") && place("busy") < place(&names[0]),
        "what to look at comes first: {page}"
    );
    assert!(page.contains("/nonexistent/libvirt-sock-ro: not connected: "), "{page}");
    shown("the push", &|page| page.contains(": accepted ") && page.contains("0 points lost"));
}
