//! Whether Prometheus' answers about a VM are what libvirt says: questions with the answer that follows from `virsh domstats`.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use super::dashboards;
use super::support::prometheus::Series;
use super::support::{Libvirtd, Prometheus3};

/// The window of rates: a few rounds of what the guest does.
const WINDOW: Duration = Duration::from_secs(10);
/// How long it may take until all answers agree with libvirt, on a busy machine.
const AGREED: Duration = Duration::from_secs(90);

pub(super) const NANO: f64 = 1e-9;
pub(super) const KIB: f64 = 1024.0;

/// The numbers in `virsh domstats` at a time.
pub(super) type Stats = BTreeMap<String, f64>;
/// The labels of an answer besides `name`.
pub(super) type Labels = &'static [(&'static str, &'static str)];

/// How a question's answer follows from what libvirt said at the beginning and at the end of the window.
pub(super) enum Answer {
    /// A figure as it is now.
    Now(fn(&Stats) -> f64),
    /// How much a figure grows each second.
    Rate(fn(&Stats) -> f64),
    /// How much one figure grows per unit of another.
    Ratio(fn(&Stats) -> f64, fn(&Stats) -> f64),
}

/// A question about the VM `web`, the labels of its answer, and the answer.
pub(super) struct Question {
    asked: Cow<'static, str>,
    labels: Labels,
    answer: Answer,
}

/// What is asked of one VM until libvirt agrees.
pub(super) struct Questions {
    /// Those whose answers must agree all at the same time.
    pub(super) together: &'static [Question],
    /// Those that must have an answer at that time.
    pub(super) answered: &'static [&'static str],
    /// Those that must agree once each: what a host's scheduler does comes in bursts.
    pub(super) once: Vec<Question>,
}

pub(super) const fn ask(asked: &'static str, labels: Labels, answer: Answer) -> Question {
    Question { asked: Cow::Borrowed(asked), labels, answer }
}

/// What the dashboard of one VM asks, as Grafana would ask it with these values of its variables. `disk` and `nic` are the
/// labels of its first disk and NIC.
pub(super) fn panels(vocabulary: &str, values: &BTreeMap<&str, &str>, disk: Labels, nic: Labels) -> Vec<Question> {
    let queries = dashboards::queries(vocabulary, values);
    let question = |title: &str, which: usize, labels, answer| {
        let place = format!("{vocabulary}/vm: \"{title}\"");
        let mut of_panel = queries.iter().filter(|query| query.place == place);
        let query = of_panel.nth(which).unwrap_or_else(|| panic!("no query {which} of {place}"));
        Question { asked: query.expression.clone().into(), labels, answer }
    };
    vec![
        question("CPU used", 0, &[], Answer::Rate(|now| now["cpu.time"] * NANO / now["vcpu.current"])),
        question("CPU ready", 0, &[], Answer::Rate(|now| ready(now) * NANO / now["vcpu.current"])),
        question("Memory used", 0, &[], Answer::Now(|now| 1.0 - now["balloon.usable"] / now["balloon.available"])),
        question("Memory on the host", 0, &[], Answer::Now(|now| now["balloon.rss"] * KIB)),
        question("Latency", 1, disk, Answer::Ratio(|now| now["block.0.wr.times"] * NANO, |now| now["block.0.wr.reqs"])),
        question("Requests", 1, disk, Answer::Rate(|now| now["block.0.wr.reqs"])),
        question("Throughput", 0, disk, Answer::Rate(|now| now["block.0.rd.bytes"])),
        question("Throughput", 1, disk, Answer::Rate(|now| now["block.0.wr.bytes"])),
        question("Traffic", 1, nic, Answer::Rate(|now| now["net.0.tx.bytes"])),
    ]
}

/// How long all vCPUs have waited for a processor, in nanoseconds.
fn ready(stats: &Stats) -> f64 {
    let delays = stats.iter().filter(|(key, _)| key.starts_with("vcpu.") && key.ends_with(".delay"));
    delays.map(|(_, delay)| delay).sum()
}

impl Questions {
    /// Asks until a Prometheus that scrapes each second agrees with libvirt about the domain.
    #[track_caller]
    pub(super) fn wait_until_libvirt_agrees(self, prometheus: &Prometheus3, libvirtd: &Libvirtd, domain: &str) {
        let Questions { together, answered, mut once } = self;
        let count = together.len() + answered.len() + once.len();
        let (began, mut said, mut tries) = (Instant::now(), VecDeque::new(), 0);
        loop {
            said.push_back((Instant::now(), stats(libvirtd, domain)));
            // Keeps one reading from just before the window: readings and scrapes are late.
            while said.get(1).is_some_and(|(at, _): &(Instant, Stats)| at.elapsed() >= WINDOW) {
                said.pop_front();
            }
            if began.elapsed() > WINDOW + Duration::from_secs(3) {
                tries += 1;
                let faults: Vec<_> = together.iter().filter_map(|question| question.fault(prometheus, &said)).collect();
                let silent: Vec<_> = answered.iter().filter(|asked| prometheus.query(asked).is_empty()).collect();
                let mut of_once = Vec::new();
                once.retain(|question| {
                    let fault = question.fault(prometheus, &said);
                    let stays = fault.is_some();
                    of_once.extend(fault);
                    stays
                });
                if faults.is_empty() && silent.is_empty() && once.is_empty() {
                    break;
                }
                assert!(
                    began.elapsed() < AGREED,
                    "after {tries} tries: {faults:#?}\nwithout an answer: {silent:#?}\nnever right: {of_once:#?}"
                );
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        eprintln!("{count} questions answered after {:?}, at try {tries}", began.elapsed());
    }
}

impl Question {
    /// The least and the greatest allowed answer, from what libvirt said in the window.
    fn expected(&self, said: &VecDeque<(Instant, Stats)>) -> Option<(f64, f64)> {
        let ((began, first), (ended, last)) = (said.front()?, said.back()?);
        let seconds = (*ended - *began).as_secs_f64();
        let around = |value: f64, part: f64| (value * (1.0 - part), value * (1.0 + part));
        Some(match self.answer {
            Answer::Now(now) => {
                let values = said.iter().map(|(_, stats)| now(stats));
                let (least, most) =
                    values.fold((f64::MAX, f64::MIN), |(least, most), value| (least.min(value), most.max(value)));
                (around(least, 0.05).0, around(most, 0.05).1)
            }
            Answer::Rate(of) => around((of(last) - of(first)) / seconds, 0.3),
            Answer::Ratio(of, by) => around((of(last) - of(first)) / (by(last) - by(first)), 0.5),
        })
    }

    /// Whether a series is about `web`, and about the question's disk or NIC. The answer of a panel is about one VM, and does not
    /// say which.
    fn concerns(&self, series: &Series) -> bool {
        let mut devices = self.labels.iter().filter(|(label, _)| ["drive", "interface"].contains(label));
        series.label("name").is_none_or(|name| name == "web")
            && devices.all(|(label, value)| series.label(label) == Some(value))
    }

    /// What is wrong with Prometheus' answer.
    fn fault(&self, prometheus: &Prometheus3, said: &VecDeque<(Instant, Stats)>) -> Option<String> {
        let asked = &self.asked;
        let series = prometheus.query(asked);
        let mut of_web = series.iter().filter(|series| self.concerns(series));
        let (Some(one), None) = (of_web.next(), of_web.next()) else {
            return Some(format!("{asked}: not one answer for web: {series:?}"));
        };
        if let Some((label, _)) = self.labels.iter().find(|(label, value)| one.label(label) != Some(value)) {
            return Some(format!("{asked}: another {label}: {one:?}"));
        }
        let (least, most) = self.expected(said)?;
        let value = one.value();
        // A zero proves nothing.
        let fits = value > 0.0 && (least..=most).contains(&value);
        (!fits).then(|| format!("{asked}: {value}, and by libvirt {least} to {most}"))
    }
}

fn stats(libvirtd: &Libvirtd, domain: &str) -> Stats {
    let said = libvirtd.domstats(domain);
    said.into_iter().filter_map(|(key, value)| Some((key, value.parse().ok()?))).collect()
}
