//! The longest answers that a daemon may give.

use super::words::Body;

/// The longest text.
pub(super) const TEXT: usize = 4_194_304;

/// The most domains in a list.
pub(super) const LISTED: usize = 16_384;

/// The longest answer to a call for statistics, and the most parameters in it.
const STATISTICS: usize = 8 * 1_048_576;
const PARAMETERS: u32 = 262_144;

/// An XML document that begins like this and has as many disks as fit.
pub(super) fn document(head: &str) -> String {
    const TAIL: &str = "</devices></domain>";
    let disk = |number: usize| {
        let alias = "a".repeat(200);
        format!("<disk type='file'><target dev='disk{number}'/><alias name='ua-{number}-{alias}'/></disk>")
    };
    let mut document = head.to_owned();
    for disk in (0..).map(disk) {
        if document.len() + disk.len() + TAIL.len() > TEXT {
            break;
        }
        document += &disk;
    }
    document + TAIL
}

/// Disks with long names, and then as many figures of processors as still fit, after a record's head.
pub(super) fn statistics(record: Body) -> Body {
    const DISKS: u32 = 1_024;
    let mut all = basics(Body::default()).int("block.count", DISKS);
    let mut count = BASICS + 1;
    for number in 0..DISKS {
        all = all.word(&format!("block.{number}.name"), &format!("disk{number}-{}", "d".repeat(1_500)));
        all = all.figure(&format!("block.{number}.rd.reqs"), 5).figure(&format!("block.{number}.wr.reqs"), 5);
        count += 3;
    }
    // Room for the number of parameters, and one of them.
    let most = STATISTICS - record.0.len() - 64;
    'full: for number in 0.. {
        for figure in ["time", "wait", "delay", "halted"] {
            if all.0.len() > most || count == PARAMETERS {
                break 'full;
            }
            all = all.figure(&format!("vcpu.{number}.{figure}"), 5);
            count += 1;
        }
    }
    let mut record = record.u32(count);
    record.0.extend(&all.0);
    record
}

/// As many parameters as there may be, after a record's head: states of processors.
#[allow(dead_code, reason = "for who measures")]
pub(super) fn parameters(record: Body) -> Body {
    let body = basics(record.u32(PARAMETERS));
    (0..PARAMETERS - BASICS).fold(body, |body, number| body.int(&format!("vcpu.{number}.state"), 1))
}

/// Parameters that every answer has.
const BASICS: u32 = 4;

fn basics(body: Body) -> Body {
    body.int("state.state", 1).int("state.reason", 1).figure("cpu.time", 5).figure("balloon.rss", 65_536)
}
