//! `docs/configuration.md`, rendered from the command line and the table of standard variables.

use std::fmt::Write as _;

use super::exit_codes::EXIT_CODES;
use super::flags::{self, Documented};
use super::standard::STANDARD;

const HEAD: &str = "\
<!-- Rendered by a test from src/config; change it there. -->
# Configuration

`virt-otel` needs none: it reads `qemu:///system` every 15 s, pushes to a Collector at `localhost:4317`, and serves
`http://localhost:9464/metrics`. Under KubeVirt it needs `--mode` and what its pod tells it of itself; the manifests in
[deploy/](../deploy/README.md) have it.

An option beats its variable, that beats the standard OpenTelemetry variable, that beats the default. An empty variable
is an unset one. Lists in a variable have commas between. A value that cannot be used ends the start with one sentence
that names the option or variable, and exit code 64.

An option under the heading of a mode belongs to that mode: on the command line of another one it ends the start in the
same way, as a variable it is warned of and has no effect.

## Options
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(HEAD);
    let command = flags::command();
    for Documented { heading, arg, flag, help } in flags::documented(&command) {
        if let Some(heading) = heading {
            let _ = write!(page, "\n### {heading}\n\n| option | variable | default | meaning |\n|---|---|---|---|\n");
        }
        let name = arg.get_value_names().and_then(|names| names.first());
        let may_stand_alone = arg.get_num_args().is_some_and(|count| count.min_values() == 0);
        let placeholder = match name {
            Some(name) if may_stand_alone => format!("[={name}]"),
            Some(name) => format!(" {name}"),
            None => String::new(),
        };
        let default = flags::default(flag).map(|value| format!("`{value}`")).unwrap_or_default();
        let help = sentences(&help);
        let _ = writeln!(page, "| `--{flag}{placeholder}` | `{}` | {default} | {help} |", flags::variable(flag));
    }
    page.push_str(DAEMONS);
    page.push_str(
        "\n## Standard variables\n\n`*` stands for nothing, `METRICS_` or `LOGS_`; the longer name beats the shorter.\n\n\
         | variable | default | meaning |\n|---|---|---|\n",
    );
    for row in STANDARD {
        let _ = writeln!(page, "| `{}` | {} | {} |", row.name, row.default, row.brief);
    }
    page.push_str(TAIL);
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(page, "| {code} | {meaning} |");
    }
    page
}

const DAEMONS: &str = "
## Daemons

`--libvirt-uri` takes libvirt's URIs, `driver[+transport]://[user@][host][:port]/[path][?parameter=value&…]`, of every driver
that a daemon serves (qemu, xen, lxc, ch, bhyve …), and libvirt's aliases of them: 32 daemons at most. Daemons are found as
libvirt's own client finds them; one that does not run is not started. Each parameter that libvirt documents is honoured, or
refused by its name at the start.

| transport | how a daemon is reached | parameters |
|---|---|---|
| none, `+unix` | The read-only socket of the driver's own daemon (`/run/libvirt/virtqemud-sock-ro`), else libvirtd's. For a user other than root, `qemu:///session` is that user's daemon, below `XDG_RUNTIME_DIR`. | `socket`, `mode` |
| `+ssh` | The `ssh` program; at the other end `virt-ssh-helper`, else netcat. It asks nobody anything: a host key must be known, a key must be at hand (`keyfile`, or an agent). | `command`, `keyfile`, `netcat`, `proxy`, `socket`, `no_tty`, `no_verify`, `mode` (not `direct`) |
| `+tls`; also a host without a transport | Port 16514, with libvirt's certificates: `/etc/pki/CA/cacert.pem`, `/etc/pki/libvirt/clientcert.pem`, `/etc/pki/libvirt/private/clientkey.pem`; those in `~/.pki/libvirt` come first. The daemon's certificate needs a subjectAltName. | `pkipath`, `no_sanity` |
| `+tcp` | Port 16509, without encryption; where the daemon wants no authentication. | |

`name` is for all of them. Of libvirt.conf (`/etc/libvirt`, or `~/.config/libvirt` for another user than root) `uri_aliases`,
`remote_mode` and `remote_proxy` are read.

Refused: the transports `+libssh`, `+libssh2` (use `+ssh`) and `+ext`; SASL (`auth`, `authfile`); `no_verify` with TLS;
`tls_priority`. Authentication is none, or polkit. Drivers that no daemon serves (`test:///default`, esx, hyperv …) need a
build with the Cargo feature `virt`; libvirtd serves the test driver as `test+unix:///default`.
";

const TAIL: &str = "
## Under systemd

With `NOTIFY_SOCKET` in the environment, which systemd sets for a unit of `Type=notify`, the agent says when it is ready (as
`/readyz` does) and when it begins to stop. With `WATCHDOG_USEC` too (`WatchdogSec=`) it gives a sign of life as long as
`/livez` is well, three times within that time or more, and at least every five seconds.

## Commands

| command | what it does |
|---|---|
| `virt-otel run` | Reads and publishes until told to stop; what `virt-otel` alone does. |
| `virt-otel snapshot --format table\\|prometheus\\|otlp-json` | Reads every VM once and prints. |
| `virt-otel top` | Shows every VM live, with what it does per second; needs a terminal. |
| `virt-otel check --format text\\|json` | Tries everything that the agent needs, with the options of `run`, and says what to do about what fails ([check.md](check.md)). |
| `virt-otel metrics --format markdown\\|json` | Prints the catalogue. |
| `virt-otel completions SHELL` | Prints the completions for bash, elvish, fish, powershell or zsh. |
| `virt-otel man` | Prints the manual page. |

## Exit codes

| code | meaning |
|---|---|
";

/// Paragraphs as sentences on one line.
fn sentences(help: &str) -> String {
    let paragraphs = help.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let sentences = paragraphs.filter(|paragraph| !paragraph.is_empty()).map(|mut sentence| {
        if !sentence.ends_with('.') {
            sentence.push('.');
        }
        sentence.replace('|', "\\|")
    });
    sentences.collect::<Vec<_>>().join(" ")
}
