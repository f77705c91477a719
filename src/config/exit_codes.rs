//! What the agent's exit codes mean, for the documentation and the manual page.

/// Each code, or codes of one meaning, and the meaning.
pub const EXIT_CODES: &[(&str, &str)] = &[
    (
        "0",
        "Told to stop by SIGTERM or SIGINT and stopped in order; the work of a sidecar is over; `snapshot` read every VM; \
         or `check` found all well.",
    ),
    (
        "1",
        "`snapshot`: a VM, its libvirt, a daemon or the Kubernetes API did not answer; standard error says which. \
         `check`: something is not as it should be, and nothing fails.",
    ),
    ("2", "`check`: something fails that the agent needs."),
    ("64", "The configuration is wrong."),
    ("69", "The address to listen on cannot be had."),
    ("70", "A part of the agent ended that should not; the log says which."),
    ("71", "The system gives no threads or no signals."),
    ("74", "Standard output cannot be written."),
    ("130, 143", "A second SIGINT or SIGTERM came while stopping."),
];
