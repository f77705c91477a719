//! The figures as the tables of docs/benchmarks.md.

use std::time::Duration;

use crate::agent::InService;
use crate::fleet::{Cpu, DOMAINS};
use crate::frozen::Others;
use crate::peers::Reading;
use crate::support::scrapes::FORMATS;
use crate::support::{PROMISES, Spread, mebibytes, print_table, promise, row, show, thousands};

// What is promised, for 100 domains.
const SCRAPE_WITHIN: Duration = Duration::from_millis(4);
const RESIDENT_BELOW: u64 = 14 << 20;
const ANONYMOUS_BELOW: u64 = 4 << 20;
const VISIBLE_WITHIN: Duration = Duration::from_millis(100);

/// Everything that was measured.
pub(crate) struct Report {
    /// CPU time per second while nobody reads.
    pub(crate) idle: Cpu,
    pub(crate) in_service: InService,
    pub(crate) at_once: Reading,
    pub(crate) bulk: Reading,
    /// Once in 15 s.
    pub(crate) bulk_in_service: Reading,
    pub(crate) same_groups: Reading,
    pub(crate) exported: Reading,
    pub(crate) exporter_series: f64,
    /// Of its page.
    pub(crate) exporter_bytes: usize,
    /// Resident and anonymous.
    pub(crate) exporter_memory: [u64; 2],
    pub(crate) events: Vec<(&'static str, Spread)>,
    pub(crate) others: Others,
    pub(crate) frozen_virsh: String,
    pub(crate) frozen_exporter: String,
}

impl Report {
    pub(crate) fn print(&self) {
        self.print_readings();
        self.print_endpoints();
        self.print_scrapes();
        self.print_events();
        self.print_frozen();
        self.print_promises();
    }

    fn print_readings(&self) {
        let others = [&self.bulk_in_service, &self.at_once, &self.bulk, &self.same_groups, &self.exported];
        let line = |name: &str, ours: String, others: [String; 5]| {
            [name.to_owned(), ours].into_iter().chain(others).collect::<Vec<_>>()
        };
        let cpu = |name: &str, of: fn(Cpu) -> Duration| {
            line(name, show(of(self.in_service.cpu)), others.map(|reading| show(of(reading.cpu))))
        };
        let rows = [
            line("Time", "spread over 15 s".to_owned(), others.map(|reading| reading.time.three())),
            cpu("CPU: the reader", |cpu| cpu.reader),
            cpu("CPU: libvirtd", |cpu| cpu.libvirtd),
            cpu("CPU: reader + libvirtd", Cpu::reader_and_libvirtd),
            cpu("CPU: all QEMUs", |cpu| cpu.qemus),
        ];
        let words = format!(
            "virt-otel in service: every 15 s, spread over the interval, with the push and the scrape of the interval; \
             libvirt took {} for a domain. Without pauses: one reading after the other, as fast as it goes. `virsh` is \
             given `--nowait`. Times are the minimum, median and maximum of {} readings (every 15 s: {}). Without any \
             reader libvirtd used {} a second and the QEMUs together {}.",
            show(self.in_service.call),
            self.bulk.time.count(),
            self.bulk_in_service.time.count(),
            show(self.idle.libvirtd),
            show(self.idle.qemus),
        );
        let head = [
            "One reading",
            "virt-otel in service",
            "`virsh domstats` every 15 s",
            "virt-otel without pauses",
            "`virsh domstats` without pauses",
            "the same, our groups only",
            "Debian's exporter without pauses",
        ];
        print_table(&format!("{DOMAINS} paused KVM domains of one vCPU and one disk"), &words, &head, &rows);
    }

    fn print_endpoints(&self) {
        let Report { in_service, exporter_memory: [resident, anonymous], .. } = self;
        let rows = [
            row(["Series per VM", &format!("{:.0}", in_service.series), &format!("{:.0}", self.exporter_series)]),
            row(["Resident memory", &mebibytes(in_service.resident), &mebibytes(*resident)]),
            row(["Anonymous memory", &mebibytes(in_service.anonymous), &mebibytes(*anonymous)]),
        ];
        print_table("The processes", "", &["", "virt-otel", "Debian's exporter"], &rows);
    }

    fn print_scrapes(&self) {
        let line = |who: &str, times: &Spread, bytes: String| {
            let [median, high, largest] = [50, 99, 100].map(|percent| show(times.percentile(percent)));
            vec![who.to_owned(), times.count().to_string(), median, high, largest, bytes]
        };
        let ours = FORMATS.iter().zip(&self.in_service.scrapes);
        let mut rows: Vec<_> = ours
            .map(|((format, _), (times, bytes))| line(&format!("virt-otel, {format}"), times, thousands(*bytes)))
            .collect();
        rows.push(line("Debian's exporter, text", &self.exported.time, thousands(self.exporter_bytes)));
        let head = ["", "Scrapes", "Median", "99 %", "Longest", "Bytes"];
        print_table("A scrape", "", &head, &rows);
    }

    fn print_events(&self) {
        let rows: Vec<_> = self
            .events
            .iter()
            .map(|(name, delays)| {
                let [half, most, nearly, all] = [50, 90, 99, 100].map(|percent| show(delays.percentile(percent)));
                row([name, &delays.count().to_string(), &half, &most, &nearly, &all])
            })
            .collect();
        let words =
            "From libvirt's own event, as stamped by `virsh event`, to the end of the first scrape that shows it.";
        print_table("From an event to the page", words, &["", "Changes", "Median", "90 %", "99 %", "Longest"], &rows);
    }

    fn print_frozen(&self) {
        let Others { oldest_before, oldest, harmed, noticed } = &self.others;
        let before = format!(
            "no other domain stuck or without figures ({harmed}); oldest reading of the others {} at an interval of {} \
             (before: {}); the frozen one called stuck after {}",
            show(*oldest),
            show(Others::interval()),
            show(*oldest_before),
            show(*noticed)
        );
        let rows = [
            row(["virt-otel", &before]),
            row(["`virsh domstats --nowait`", &self.frozen_virsh]),
            row(["Debian's exporter", &self.frozen_exporter]),
        ];
        print_table(
            &format!("One of {DOMAINS} domains frozen"),
            "Each was the first to read the frozen one.",
            &["", ""],
            &rows,
        );
    }

    fn print_promises(&self) {
        let scrape = &self.in_service.scrapes[0].0;
        let of = |reading: &Reading| reading.cpu.reader_and_libvirtd();
        let (at_once, bulk) = (of(&self.at_once), of(&self.bulk));
        let (in_service, bulk_in_service) = (self.in_service.cpu.reader_and_libvirtd(), of(&self.bulk_in_service));
        let InService { resident, anonymous, .. } = self.in_service;
        let late = self.others.late();
        let delays = Spread::of(self.events.iter().flat_map(|(_, delays)| delays.each()).collect());
        let ratio = |ours: Duration, theirs: Duration| ours.as_secs_f64() / theirs.as_secs_f64();
        let rows = [
            promise(
                &format!("A scrape of {DOMAINS} VMs"),
                "under 4 ms",
                &format!(
                    "{} (median; 99 %: {}); Debian's exporter took {:.0} times as long",
                    show(scrape.median()),
                    show(scrape.percentile(99)),
                    ratio(self.exported.time.median(), scrape.median())
                ),
                scrape.median() < SCRAPE_WITHIN,
            ),
            promise(
                "CPU of libvirtd and the reader for one reading of everything",
                "not above the bulk call's",
                &format!(
                    "without pauses {} against {}: {:.2} of it; Debian's exporter {:.2}",
                    show(at_once),
                    show(bulk),
                    ratio(at_once, bulk),
                    ratio(of(&self.exported), bulk)
                ),
                at_once <= bulk,
            ),
            promise(
                "The same in service: once in 15 s, with the push and the scrape",
                "not above the bulk call's",
                &format!(
                    "{} against {}: {:.2} of it",
                    show(in_service),
                    show(bulk_in_service),
                    ratio(in_service, bulk_in_service)
                ),
                in_service <= bulk_in_service,
            ),
            promise(
                &format!("Resident memory with {DOMAINS} VMs"),
                "under 14 MiB",
                &mebibytes(resident),
                resident < RESIDENT_BELOW,
            ),
            promise("Of it anonymous", "under 4 MiB", &mebibytes(anonymous), anonymous < ANONYMOUS_BELOW),
            promise(
                "One VM frozen",
                "no other VM late by more than one interval",
                &format!("late by {} at most at an interval of {}", show(late), show(Others::interval())),
                self.others.harmed == 0 && late <= Others::interval(),
            ),
            promise(
                "A lifecycle change",
                "visible in under 100 ms",
                &format!(
                    "{} (median; 99 %: {}, longest {} of {})",
                    show(delays.median()),
                    show(delays.percentile(99)),
                    show(delays.largest()),
                    delays.count()
                ),
                delays.percentile(99) < VISIBLE_WITHIN,
            ),
        ];
        print_table("What is promised, on a libvirt host", "", &PROMISES, &rows);
    }
}
