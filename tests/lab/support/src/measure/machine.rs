//! What the figures were measured on.

use std::fs;
use std::process::Command;

use super::row;

/// The facts of the machine, as rows of a table.
pub fn facts() -> Vec<Vec<String>> {
    let processor = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned());
    let flags = field("/proc/cpuinfo", "flags").unwrap_or_default();
    let guest = if flags.split(' ').any(|flag| flag == "hypervisor") { ", itself a virtual machine" } else { "" };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let memory = field("/proc/meminfo", "MemTotal").unwrap_or_default();
    let memory = memory.trim_end_matches(" kB").parse::<u64>().map_or(0, |kibibytes| kibibytes >> 20);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let commit = first_line("git", &["rev-parse", "--short=12", "HEAD"]);
    let changed = if first_line("git", &["status", "--porcelain"]).is_empty() { "" } else { ", with local changes" };
    vec![
        row(["Processor, cores", &format!("{processor}{guest}; {cores} cores, {memory} GiB")]),
        row(["Kernel", kernel.trim()]),
        row(["libvirt", first_line("/usr/sbin/libvirtd", &["--version"]).rsplit(' ').next().unwrap_or_default()]),
        row(["QEMU", first_line("qemu-system-x86_64", &["--version"]).trim_start_matches("QEMU emulator version ")]),
        row(["Compiler", &first_line("rustc", &["--version"])]),
        row(["Commit, date", &format!("{commit}{changed}, {}", first_line("date", &["-u", "+%F %H:%M UTC"]))]),
        row(["Load average at the start", &load()]),
    ]
}

/// The load averages of one, five and fifteen minutes: what else the machine was doing.
fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(", ")
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next().map(str::trim) == Some(name))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&output).lines().next().unwrap_or_default().trim().to_owned()
}
