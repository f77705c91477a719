//! The longest answers that a daemon may give.

use std::sync::OnceLock;

use super::words::Body;

/// The longest text.
pub const TEXT: usize = 4_194_304;

/// The most domains in a list.
pub const LISTED: usize = 16_384;

/// The longest answer to a call for statistics, and the most parameters in it.
const STATISTICS: usize = 8 * 1_048_576;
const PARAMETERS: u32 = 262_144;

/// An XML document that begins like this and has as many disks as fit.
pub fn document(head: &str) -> String {
    const TAIL: &str = "</devices></domain>";
    static DISKS: OnceLock<Vec<String>> = OnceLock::new();
    let disks = DISKS.get_or_init(|| {
        let alias = "a".repeat(200);
        let disk = |number: usize| {
            format!("<disk type='file'><target dev='disk{number}'/><alias name='ua-{number}-{alias}'/></disk>")
        };
        (0..TEXT / 200).map(disk).collect()
    });
    let mut document = String::with_capacity(TEXT);
    document += head;
    for disk in disks {
        if document.len() + disk.len() + TAIL.len() > TEXT {
            break;
        }
        document += disk;
    }
    document + TAIL
}

/// A record's head, disks with long names, and as many vCPU figures as still fit.
pub fn statistics(mut record: Body) -> Body {
    static ALL: OnceLock<(u32, Body)> = OnceLock::new();
    let (count, all) = ALL.get_or_init(all);
    record = record.u32(*count);
    record.0.extend(&all.0);
    record
}

/// As many parameters as fit into an answer, and how many these are.
fn all() -> (u32, Body) {
    const DISKS: u32 = 1_024;
    // Room for a record's head, the number of parameters, and one of them.
    const MOST: usize = STATISTICS - 4_096;
    let mut all = basics(Body::default()).int("block.count", DISKS);
    let mut count = BASICS + 1;
    for number in 0..DISKS {
        all = all.word(&format!("block.{number}.name"), &format!("disk{number}-{}", "d".repeat(1_500)));
        all = all.figure(&format!("block.{number}.rd.reqs"), 5).figure(&format!("block.{number}.wr.reqs"), 5);
        count += 3;
    }
    for number in 0.. {
        for figure in ["time", "wait", "delay", "halted"] {
            if all.0.len() > MOST || count == PARAMETERS {
                return (count, all);
            }
            all = all.figure(&format!("vcpu.{number}.{figure}"), 5);
            count += 1;
        }
    }
    (count, all)
}

/// As many parameters as allowed, after a record's head: vCPU states.
#[allow(dead_code, reason = "for who measures")]
pub fn parameters(record: Body) -> Body {
    let body = basics(record.u32(PARAMETERS));
    (0..PARAMETERS - BASICS).fold(body, |body, number| body.int(&format!("vcpu.{number}.state"), 1))
}

/// Parameters that every answer has.
const BASICS: u32 = 4;

fn basics(body: Body) -> Body {
    body.int("state.state", 1).int("state.reason", 1).figure("cpu.time", 5).figure("balloon.rss", 65_536)
}
