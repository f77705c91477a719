//! `virt-otel man`: the manual page.

use std::io::{self, Write};

use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::config::{self, EXIT_CODES, STANDARD};

/// What the agent reads, and whom it connects to.
const FILES: &[(&str, &str)] = &[
    ("/etc/virt-otel/virt-otel.env", "Variables for the systemd unit virt-otel.service."),
    (
        "/run/libvirt/virtqemud-sock-ro, /run/libvirt/libvirt-sock-ro",
        "The read-only socket of libvirt's daemon: the modular one, else the monolithic one.",
    ),
    ("/etc/libvirt/libvirt.conf", "For root: aliases of URIs, and how modular daemons are reached."),
    ("/etc/pki/CA/cacert.pem, /etc/pki/libvirt/", "Certificates for qemu+tls://."),
];

/// Prints the manual page in roff.
///
/// # Errors
///
/// When it cannot be written.
pub(super) fn print(out: &mut dyn Write) -> io::Result<()> {
    let mut page = Vec::new();
    let man = Man::new(config::command());
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    man.render_subcommands_section(&mut page)?;
    // In text for people, code has no marks.
    let plain = |text: &str| text.replace('`', "");
    let mut roff = Roff::new();
    roff.control("SH", ["ENVIRONMENT"]);
    roff.text([roman(
        "Each option has a variable of its own, named with it above. An option beats its variable, and that beats \
                      the variables of the OpenTelemetry specification, of which these are used. ",
    )]);
    roff.text([roman("In a name, * stands for nothing, METRICS_ or LOGS_; the longer name beats the shorter.")]);
    for row in STANDARD {
        entry(&mut roff, row.name, &plain(row.brief));
    }
    entry(&mut roff, "NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID", "What systemd wants to be told, and how often.");
    entry(&mut roff, "NO_COLOR", "Log lines on a terminal have no colours.");
    roff.control("SH", ["FILES"]);
    for (paths, what) in FILES {
        entry(&mut roff, paths, what);
    }
    roff.control("SH", ["EXIT STATUS"]);
    for (code, meaning) in EXIT_CODES {
        entry(&mut roff, code, &plain(meaning));
    }
    roff.to_writer(&mut page)?;
    man.render_extra_section(&mut page)?;
    man.render_version_section(&mut page)?;
    out.write_all(&page)
}

/// A term with what it means.
fn entry(roff: &mut Roff, term: &str, meaning: &str) {
    roff.control("TP", []);
    roff.text([bold(term)]);
    roff.text([roman(meaning)]);
}
