//! `deploy/systemd/virt-otel.env`, rendered from the command line and the table of standard variables: every variable,
//! commented out, with its default.

use std::fmt::Write as _;

use super::flags::{self, Documented};
use super::standard::STANDARD;

const HEAD: &str = "\
# Settings of virt-otel.service, as variables. Rendered by a test from src/config.
#
# Nothing needs to be set: the agent reads qemu:///system every 15 s, pushes to a Collector at localhost:4317, and serves
# http://localhost:9464/metrics. After a change: systemctl restart virt-otel
#
# Commas separate the parts of a list. docs/configuration.md has the same with more about daemons and exit codes.
";

/// The longest line.
const WIDTH: usize = 120;

/// The file.
#[must_use]
pub fn environment_file() -> String {
    let mut file = String::from(HEAD);
    let command = flags::command();
    for Documented { heading, flag, help, .. } in flags::documented(&command) {
        if let Some(heading) = heading {
            let _ = write!(file, "\n# --- {heading} ---\n");
        }
        push(&mut file, &help, &flags::variable(flag), flags::default(flag).unwrap_or_default());
    }
    file.push_str("\n# --- Variables of the OpenTelemetry specification ---\n");
    for row in STANDARD {
        // Of names that have several forms, the general one.
        let name = row.name.replace('*', "");
        // Some defaults are said in words.
        let default = row.default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'));
        push(&mut file, row.brief, &name, default.filter(|value| !value.starts_with("--")).unwrap_or_default());
    }
    file
}

fn push(file: &mut String, help: &str, variable: &str, default: &str) {
    file.push('\n');
    // Once, as a variable.
    let help = help.replace("may be given several times", "several with commas between");
    for paragraph in help.split("\n\n") {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.len() + 1 + word.len() > WIDTH {
                let _ = writeln!(file, "{line}");
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        if line.len() > 1 {
            let _ = writeln!(file, "{line}");
        }
    }
    let _ = writeln!(file, "#{variable}={default}");
}
