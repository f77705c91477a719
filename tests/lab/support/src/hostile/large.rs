//! The answers about a VM of 512 vCPUs and 64 disks, as libvirt 12.8 would give them.

use super::words::Body;

const VCPUS: u32 = 512;
const DISKS: u32 = 64;

/// What the kernel adds to a KVM vCPU: this many parameters, with names of their own.
const OF_THE_KERNEL: u32 = 42;

const OF_A_VCPU: [&str; 4] = ["state", "time", "wait", "delay"];
const OF_A_DISK: [&str; 10] = [
    "rd.reqs", "rd.bytes", "rd.times", "wr.reqs", "wr.bytes", "wr.times", "fl.reqs", "fl.times", "capacity", "physical",
];

/// A record: 24,263 parameters behind its head.
pub fn statistics(record: Body) -> Body {
    let count = 7 + VCPUS * (4 + OF_THE_KERNEL) + DISKS * 11;
    let mut body = record.u32(count);
    body = body.int("state.state", 1).int("state.reason", 1).figure("cpu.time", 5).figure("balloon.rss", 65_536);
    body = body.figure("vcpu.current", VCPUS.into()).figure("vcpu.maximum", VCPUS.into());
    for number in 0..VCPUS {
        for name in OF_A_VCPU {
            let key = format!("vcpu.{number}.{name}");
            body = if name == "state" { body.int(&key, 1) } else { body.figure(&key, 5) };
        }
        for name in 0..OF_THE_KERNEL {
            body = body.figure(&format!("vcpu.{number}.halt_poll_{name:02}.sum"), 5);
        }
    }
    body = body.int("block.count", DISKS);
    for number in 0..DISKS {
        body = body.word(&format!("block.{number}.name"), &target(number));
        for name in OF_A_DISK {
            body = body.figure(&format!("block.{number}.{name}"), 5);
        }
    }
    body
}

/// The disks, for the XML.
pub fn disks() -> String {
    (0..DISKS).map(|number| format!("<disk type='file'><target dev='{}'/></disk>", target(number))).collect()
}

fn target(number: u32) -> String {
    format!("sd{number:02}")
}
