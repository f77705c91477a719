//! The status page of an agent that reads a host with a frozen VM and a daemon that is away.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::support::{Agent, Collector, CollectorOptions, Domain, Libvirtd, process, wait_until};

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

/// Chromium without a screen. Returns what it printed.
#[track_caller]
pub(super) fn chromium(folder: &Path, arguments: &[&str]) -> String {
    let mut browser = Command::new("chromium");
    let profile = format!("--user-data-dir={}", folder.join("profile").display());
    // Root has no sandbox there, and the page comes from us.
    browser.args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", &profile]).args(arguments);
    let output = process::run(browser, Duration::from_secs(120)).expect("it ends");
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    output.stdout
}

/// The page around a page as wide as a phone, which says how wide that one's content is.
fn on_a_phone(page: &str) -> String {
    let page = page.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!doctype html><iframe id=\"phone\" width=\"375\" height=\"800\" srcdoc=\"{page}\"></iframe><p id=\"width\"></p><script>\
         onload = () => {{ const root = document.getElementById('phone').contentDocument.documentElement;\
         document.getElementById('width').textContent = 'wide: ' + root.scrollWidth + ' of ' + root.clientWidth; }}</script>"
    )
}

#[test]
#[ignore = "needs Chromium: make pictures"]
fn a_browser_shows_the_table_without_script_and_a_phone_does_not_scroll_sideways() {
    let libvirtd = Libvirtd::system();
    libvirtd.boot(&Domain::tcg_linux("web", 1, 1));
    libvirtd.create(&Domain::tcg("build"));
    let names = libvirtd.create_paused_guests(2);
    libvirtd.freeze(&names[1]);
    let collector = Collector::start(CollectorOptions::file());
    let absent = "qemu+unix:///system?socket=/run/libvirt/away-sock-ro";
    let arguments = ["--libvirt-uri", &libvirtd.uri(), "--libvirt-uri", absent, "--interval", "2s"];
    let agent = Agent::start(&arguments, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())]);
    wait_until(SOON, "everything that is shown", || {
        let page = page(&agent);
        let cpu =
            row(&page, "web").and_then(|row| row.split("<td>").nth(3)).is_some_and(|cpu| cpu.parse::<f64>().is_ok());
        (cpu && row(&page, &names[1]).is_some_and(|row| row.contains("does not answer"))
            && page.contains(": accepted "))
        .then_some(())
    });
    let folder = TempDir::new().expect("a folder");
    let url = format!("http://127.0.0.1:{}/", agent.port());
    // Chromium needs script for what it does itself; the page's own policy lets none of a page run.
    let dom = chromium(folder.path(), &["--dump-dom", &url]);
    for part in ["<caption>", "<tbody>", ">web</th>", "its QEMU does not answer"] {
        assert!(dom.contains(part), "{part}: {dom}");
    }
    let picture = folder.path().join("status.png");
    let screenshot = format!("--screenshot={}", picture.display());
    chromium(folder.path(), &["--window-size=1100,640", &screenshot, &url]);
    let drawn = fs::read(&picture).expect("a picture");
    assert!(drawn.len() > 10_000, "an empty page: {} bytes", drawn.len());
    if let Ok(pictures) = std::env::var("PICTURES") {
        fs::write(Path::new(&pictures).join("status.png"), &drawn).expect("a place for the picture");
    }

    let phone = folder.path().join("phone.html");
    fs::write(&phone, on_a_phone(&page(&agent))).expect("a file");
    let dom = chromium(folder.path(), &["--virtual-time-budget=2000", "--dump-dom", &phone.display().to_string()]);
    let said = dom.split("wide: ").nth(1).and_then(|rest| rest.split('<').next()).expect("how wide it is");
    let (content, window) = said.split_once(" of ").expect("two numbers");
    assert_eq!(content, window, "the page is wider than a phone, and not only its table");
}
