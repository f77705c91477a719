//! The figures as the tables of docs/benchmarks.md.

use std::time::Duration;

use crate::agent::{AtRest, Startup};
use crate::changes::{Delays, Sustained};
use crate::resumes::Resumes;
use crate::support::scrapes::FORMATS;
use crate::support::{PROMISES, Spread, mebibytes, print_table, promise, row, show, thousands};

// What is promised.
const DETECTED_WITHIN: Duration = Duration::from_millis(100);
const SHOWN_WITHIN: Duration = Duration::from_millis(10);
const BYTES_OF_A_THOUSAND: usize = 1_000_000;
/// 0.1 % of a core at one transition a second.
const CPU_OF_A_CHANGE: Duration = Duration::from_millis(1);
const CHANGES_A_SECOND: f64 = 10.0;

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) vms: u32,
    pub(crate) launchers: u32,
    /// Of one launcher: its libvirtd's and its QEMU's.
    pub(crate) launcher_memory: [u64; 2],
    pub(crate) at_rest: Vec<AtRest>,
    pub(crate) type_at_rest: AtRest,
    pub(crate) startup: Startup,
    pub(crate) startup_type: Startup,
    pub(crate) scrapes: Vec<(Spread, usize)>,
    pub(crate) type_bytes: usize,
    pub(crate) everything: Sustained,
    pub(crate) type_only: Sustained,
    pub(crate) flat_out: Sustained,
    pub(crate) resumes: Resumes,
    pub(crate) looked_at: Vec<Delays>,
    pub(crate) at_pace: Sustained,
    pub(crate) eye_scrapes: Vec<Duration>,
    pub(crate) few: usize,
    pub(crate) few_looked_at: Vec<Delays>,
}

impl Report {
    pub(crate) fn print(&self) {
        self.print_at_rest();
        self.print_startup();
        self.print_scrapes();
        self.print_changes();
        self.print_delays();
        self.print_promises();
    }

    fn last(&self) -> &AtRest {
        self.at_rest.last().expect("it was measured")
    }

    /// CPU time used per second, as a percentage of a core.
    fn cores(time: Duration) -> String {
        format!("{:.2} %", time.as_secs_f64() * 100.0)
    }

    fn print_at_rest(&self) {
        let line = |what: String, at: &AtRest| {
            vec![
                what,
                mebibytes(at.held.resident),
                mebibytes(at.held.anonymous),
                at.held.threads.to_string(),
                at.held.descriptors.to_string(),
                Report::cores(at.cpu.agent),
                Report::cores(at.cpu.libvirtds),
                Report::cores(at.cpu.qemus),
            ]
        };
        let mut rows: Vec<_> = self.at_rest.iter().map(|at| line(format!("{} VMIs", at.vms), at)).collect();
        rows.push(line(format!("{} VMIs, the type alone", self.type_at_rest.vms), &self.type_at_rest));
        let [libvirtd, qemu] = self.launcher_memory;
        let words = format!(
            "{} launchers, each a libvirtd ({}) with a paused KVM domain ({}) of one vCPU, one disk and one NIC; the \
             other sockets are fakes: each forwards every message to the libvirtd of one of these launchers, and \
             replaces the real domain's name and UUID. Every 15 s the agent reads everything of every VM; in the last \
             line it has `--metrics-include 'kubevirt.vmi.hypervisor.*'`, and reads only states and jobs. Nothing \
             scrapes. CPU is of one core.",
            self.launchers,
            mebibytes(libvirtd),
            mebibytes(qemu)
        );
        let head =
            ["At rest", "Resident", "Anonymous", "Threads", "Descriptors", "CPU", "CPU: libvirtds", "CPU: QEMUs"];
        print_table(&format!("A node with {} VirtualMachineInstances", self.vms), &words, &head, &rows);
    }

    fn print_startup(&self) {
        let line = |what: &str, startup: &Startup| {
            vec![
                what.to_owned(),
                show(startup.took),
                startup.unknown.to_string(),
                show(startup.cpu),
                startup.threads.to_string(),
                mebibytes(startup.resident),
            ]
        };
        let rows = [line("Everything is read", &self.startup), line("The type alone", &self.startup_type)];
        let words = format!(
            "Time until the page shows the types of all {}, with libvirtds and everything else on the same cores.",
            self.vms
        );
        let head = ["", "Time", "Shown as unknown meanwhile", "CPU", "Most threads", "Most resident"];
        print_table("An agent that starts with all of them in the API", &words, &head, &rows);
    }

    fn print_scrapes(&self) {
        let rows: Vec<_> = FORMATS
            .iter()
            .zip(&self.scrapes)
            .map(|((format, _), (times, bytes))| {
                let [median, high, largest] = [50, 99, 100].map(|percent| show(times.percentile(percent)));
                row([format, &times.count().to_string(), &median, &high, &largest, &thousands(*bytes)])
            })
            .collect();
        let words = format!(
            "The series of `kubevirt_vmi_hypervisor_info` alone are {} bytes, {} for a VM.",
            thousands(self.type_bytes),
            self.type_bytes / self.vms as usize
        );
        let head = ["", "Scrapes", "Median", "99 %", "Longest", "Bytes"];
        print_table(&format!("A scrape of {} VMs, all series", self.vms), &words, &head, &rows);
    }

    fn print_changes(&self) {
        let line = |what: &str, changes: &Sustained, idle: &AtRest| {
            let rate = changes.changes as f64 / changes.took.as_secs_f64();
            vec![
                what.to_owned(),
                changes.changes.to_string(),
                format!("{rate:.1}"),
                show(changes.cpu.div_f64(changes.changes as f64)),
                show(of_a_change(changes, idle)),
            ]
        };
        let Resumes { count, vms, queries, cpu, took } = self.resumes;
        let idle = self.last().cpu.agent.mul_f64(took.as_secs_f64());
        let words = format!(
            "Each is an API update that changes the page, in lives of stop, (delete, recreate, schedule,) run, pause, \
             resume, delete, arrive. CPU is the agent's, with and without what it uses at rest; nothing scrapes. \
             Separately, {count} guests, which are {vms} VMs with the fakes, were resumed and paused again through \
             libvirt, without any API update: the agent made {queries:.0} XML queries, and used {} for each VM.",
            show(cpu.saturating_sub(idle).div_f64(f64::from(vms)))
        );
        let rows = [
            line("Everything is read", &self.everything, self.last()),
            line("The type alone", &self.type_only, &self.type_at_rest),
            line("The type alone, as fast as the API server takes them", &self.flat_out, &self.type_at_rest),
        ];
        let head = ["Changes", "Count", "A second", "CPU of each", "Above rest"];
        print_table(&format!("Changes among {} VMIs", self.vms), &words, &head, &rows);
    }

    fn print_delays(&self) {
        let head = ["", "Changes", "Median", "90 %", "99 %", "Longest", "From the request: median", "99 %"];
        let lines = |delays: &[Delays]| -> Vec<Vec<String>> {
            let line = |what: &str, from_answer: &Spread, from_request: &Spread| {
                let [half, most, nearly, all] = [50, 90, 99, 100].map(|percent| show(from_answer.percentile(percent)));
                let [request, requests] = [50, 99].map(|percent| show(from_request.percentile(percent)));
                row([what, &from_answer.count().to_string(), &half, &most, &nearly, &all, &request, &requests])
            };
            let mut rows: Vec<_> =
                delays.iter().map(|of| line(of.kind.describe(), &of.from_answer, &of.from_request)).collect();
            rows.push(line("All", &all(delays, |of| &of.from_answer), &all(delays, |of| &of.from_request)));
            rows
        };
        let scrapes = Spread::of(self.eye_scrapes.clone());
        let words = format!(
            "From the API server's answer to the update until the end of the first scrape that shows it, and the same \
             from before the request, which makes its own connection. Each scrape starts 2 ms after the last one \
             ended; a scrape took {} (median; 99 %: {}). One change at a time.",
            show(scrapes.median()),
            show(scrapes.percentile(99))
        );
        print_table(
            &format!("From a VMI's update to the page, {} VMIs", self.vms),
            &words,
            &head,
            &lines(&self.looked_at),
        );
        print_table(
            &format!("The same with {PACE_WORDS} changes a second, {} VMIs", self.vms),
            "",
            &head,
            &lines(&self.at_pace.delays),
        );
        print_table(&format!("The same, {} VMIs", self.few), "", &head, &lines(&self.few_looked_at));
    }

    fn print_promises(&self) {
        let every = all(&self.looked_at, |of| &of.from_answer);
        let requests = all(&self.looked_at, |of| &of.from_request);
        let types = Spread::of(
            self.looked_at.iter().filter(|of| of.kind.detects()).flat_map(|of| of.from_answer.each()).collect(),
        );
        let detections: Vec<_> =
            self.looked_at.iter().flat_map(|of| of.from_detection.iter().flat_map(Spread::each)).collect();
        let shown = (!detections.is_empty()).then(|| Spread::of(detections));
        let of_each = |at: &AtRest, first: &AtRest| {
            at.held.anonymous.saturating_sub(first.held.anonymous) / u64::from((at.vms - first.vms).max(1))
        };
        let (first, last) = (&self.at_rest[0], self.last());
        let between: Vec<_> = self.at_rest[1..].iter().map(|at| of_each(at, first)).collect();
        let cpu_of_each: Vec<_> = self.at_rest[1..]
            .iter()
            .map(|at| at.cpu.agent.saturating_sub(first.cpu.agent).as_secs_f64() * 1e6 / f64::from(at.vms))
            .collect();
        let linear = |least: f64, most: f64| most < 1.5 * least.max(f64::MIN_POSITIVE);
        let (least, most) =
            cpu_of_each.iter().fold((f64::MAX, 0.0_f64), |(least, most), each| (least.min(*each), most.max(*each)));
        let everything = of_a_change(&self.everything, last);
        let type_only = of_a_change(&self.type_only, &self.type_at_rest);
        let rate = self.at_pace.changes as f64 / self.at_pace.took.as_secs_f64();
        let at_pace = all(&self.at_pace.delays, |of| &of.from_answer);
        let fastest = self.flat_out.changes as f64 / self.flat_out.took.as_secs_f64();
        let mut rows = vec![
            promise(
                "The type of a VMI that begins to run",
                "detected within 100 ms",
                &spread_in_words(&types),
                types.percentile(99) < DETECTED_WITHIN,
            ),
            promise(
                "From the VMI's update to the new value on the page",
                "99 % within 100 ms",
                &format!("{}; from before the request: {}", spread_in_words(&every), spread_in_words(&requests)),
                every.percentile(99) < DETECTED_WITHIN,
            ),
        ];
        if let Some(shown) = shown {
            rows.push(promise(
                "From libvirt's answer to the page",
                "within 10 ms",
                &format!("{}, to the beginning of the scrape", spread_in_words(&shown)),
                shown.percentile(99) < SHOWN_WITHIN,
            ));
        }
        rows.extend([
            promise(
                "The hypervisor series of 1,000 VMIs",
                "under 1 MB, about 100 bytes each",
                &format!("{} bytes each", self.type_bytes / self.vms as usize),
                self.type_bytes * 1_000 / (self.vms as usize) < BYTES_OF_A_THOUSAND,
            ),
            promise(
                "CPU of a transition",
                "under 0.1 % of a core at one a second: 1 ms",
                &format!("{} when everything is read, {} for the type alone", show(everything), show(type_only)),
                everything < CPU_OF_A_CHANGE,
            ),
            promise(
                "Transitions",
                "10 a second",
                &format!(
                    "{rate:.1} a second for {}, seen after {}; {fastest:.0} a second were all that the API server took",
                    show(self.at_pace.took),
                    spread_in_words(&at_pace)
                ),
                rate >= 0.95 * CHANGES_A_SECOND && at_pace.percentile(99) < DETECTED_WITHIN,
            ),
            promise(
                "VMIs on a node",
                "1,000",
                &format!("{}, {} of them launchers of their own", self.vms, self.launchers),
                self.vms >= 1_000,
            ),
            promise(
                "Memory of a VMI",
                "linear",
                &format!(
                    "{} KiB anonymous each, from the fewest to the most",
                    between.iter().map(|bytes| (bytes >> 10).to_string()).collect::<Vec<_>>().join(", ")
                ),
                linear(
                    between.iter().copied().min().unwrap_or(0) as f64,
                    between.iter().copied().max().unwrap_or(0) as f64,
                ) || between.last() <= between.first(),
            ),
            promise(
                "CPU of a VMI at rest",
                "linear",
                &format!(
                    "{} µs a second each, from the fewest to the most",
                    cpu_of_each.iter().map(|each| format!("{each:.0}")).collect::<Vec<_>>().join(", ")
                ),
                linear(least, most) || cpu_of_each.last() <= cpu_of_each.first(),
            ),
        ]);
        print_table("What is promised, with KubeVirt", "", &PROMISES, &rows);
    }
}

/// The pace, in words.
const PACE_WORDS: &str = "ten";

/// CPU time of a change, above the agent's at rest.
fn of_a_change(changes: &Sustained, at_rest: &AtRest) -> Duration {
    let idle = at_rest.cpu.agent.mul_f64(changes.took.as_secs_f64());
    changes.cpu.saturating_sub(idle).div_f64(changes.changes as f64)
}

fn all(delays: &[Delays], which: impl Fn(&Delays) -> &Spread) -> Spread {
    Spread::of(delays.iter().flat_map(|of| which(of).each()).collect())
}

fn spread_in_words(spread: &Spread) -> String {
    format!(
        "{} (median; 99 %: {}, longest {} of {})",
        show(spread.median()),
        show(spread.percentile(99)),
        show(spread.largest()),
        spread.count()
    )
}
