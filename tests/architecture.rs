//! Enforces what docs/architecture.md says about the code's structure. Each check says what to do when it fails.
#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, in its helpers too")]

#[path = "architecture/tables.rs"]
mod tables;
#[path = "architecture/text.rs"]
mod text;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use libvirt_remote::procedure::Procedure;
use tables::{
    ARROWS, CHANGING_METHODS, CHANGING_METHODS_OF_A_COMMON_NAME, LIBRARY, LIBVIRT_FUNCTIONS, LIBVIRT_TYPES, LINTS,
    OUTSIDE, PROCEDURES,
};
use text::{File, Named, crates, sources, tokens, walk};
use virt_otel::catalog::{Entity, Read, Selection, Vocabulary};

/// Most lines of a file, without its tests: what one can keep in mind.
const LONGEST_FILE: usize = 500;

/// Most lines of main.rs: it only parses, runs and returns an exit code.
const LONGEST_MAIN: usize = 60;

/// Fails with all violations at once, and with advice.
#[track_caller]
fn none(wrong: &[String], advice: &str) {
    assert!(wrong.is_empty(), "\n{}\n\n{advice}\n", wrong.join("\n"));
}

/// The sources of the agent and of its own crates.
fn shipped() -> Vec<File> {
    sources().into_iter().chain(crates()).collect()
}

/// Whether a file is part of the module that calls libvirt's own library.
fn in_library(file: &File) -> bool {
    file.path.strip_prefix(LIBRARY).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

fn at(file: &File, named: &Named) -> String {
    format!("{}:{}: {}", file.path, named.line, named.segments.join("::"))
}

#[test]
fn every_arrow_points_inwards() {
    let files = sources();
    let existing: BTreeSet<&str> = files.iter().map(File::module).collect();
    let mut wrong = Vec::new();
    for file in &files {
        let module = file.module();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == module) else {
            wrong.push(format!("{}: the module `{module}` is not in the table ARROWS", file.path));
            continue;
        };
        for named in file.paths() {
            let [root, target, ..] = named.segments.as_slice() else { continue };
            // The binary names the library `virt_otel`, the library itself `crate`.
            if !["crate", "virt_otel"].contains(&root.as_str()) {
                continue;
            }
            let is_module = existing.contains(target.as_str()) && !["main", "lib"].contains(&target.as_str());
            if is_module && target != module && !allowed.contains(&target.as_str()) {
                wrong.push(format!("{}, but `{module}` may not know `{target}`", at(file, &named)));
            }
        }
    }
    none(
        &wrong,
        "Move what both need inwards (to model, source or snapshot), or hand it over in agent. The table ARROWS in \
         tests/architecture/tables.rs is changed only together with docs/architecture.md.",
    );
}

#[test]
fn the_table_of_arrows_has_no_circle() {
    // Outermost last: each may know only those before it.
    let names: Vec<&str> = ARROWS.iter().map(|(name, _)| *name).collect();
    let mut wrong = Vec::new();
    for (place, (name, allowed)) in ARROWS.iter().enumerate() {
        for target in *allowed {
            if !names[..place].contains(target) {
                wrong.push(format!("`{name}` may know `{target}`, which does not stand before it"));
            }
        }
    }
    none(&wrong, "Order the table from the inside outwards; two modules that need each other are one module.");
}

#[test]
fn each_wire_is_known_to_one_module() {
    let mut wrong = Vec::new();
    for file in &sources() {
        for named in file.paths() {
            let Some(root) = named.segments.first() else { continue };
            if let Some((name, allowed)) = OUTSIDE.iter().find(|(name, _)| name == root)
                && !allowed.contains(&file.module())
            {
                wrong.push(format!("{}: the crate `{name}` is for {}", at(file, &named), allowed.join(", ")));
            }
        }
    }
    none(&wrong, "Let that module do it and hand over plain data: the others know no libvirt and no wire format.");
}

#[test]
fn exporters_and_readers_share_only_the_snapshot() {
    let forbidden = ["Mutex", "RwLock", "blocking_lock", "spawn_blocking", "block_on"];
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| ["snapshot", "export", "admin"].contains(&file.module())) {
        for token in file.tokens.iter().filter(|token| forbidden.contains(&token.text.as_str())) {
            wrong.push(format!("{}:{}: {}", file.path, token.line, token.text));
        }
    }
    none(
        &wrong,
        "A scrape and an export read the latest Arc<Snapshot> and wait for nobody. Own the state in one task, or count \
         with atomics.",
    );
}

#[test]
fn unsafe_has_one_room() {
    let mut wrong = Vec::new();
    for file in shipped().iter().filter(|file| !in_library(file)) {
        for token in file.tokens.iter().filter(|token| token.text == "unsafe") {
            wrong.push(format!("{}:{}", file.path, token.line));
        }
        for named in file.paths().iter().filter(|named| named.segments.first().is_some_and(|root| root == "virt")) {
            wrong.push(at(file, named));
        }
    }
    none(&wrong, "Move it into src/libvirt/library.rs behind a safe function that gives owned plain data.");
}

#[test]
fn the_crate_of_the_protocol_has_no_unsafe_code() {
    let root = crates().into_iter().find(|file| file.path.ends_with("/lib.rs")).expect("the crate's root");
    let forbids = ["forbid", "(", "unsafe_code", ")"];
    let said = root.tokens.windows(forbids.len()).any(|window| window.iter().map(|token| &token.text).eq(forbids));
    assert!(said, "{} says no more #![forbid(unsafe_code)]", root.path);
}

#[test]
fn what_is_shipped_switches_no_lint_off() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for manifest in ["Cargo.toml", "crates/libvirt-remote/Cargo.toml"] {
        let text = fs::read_to_string(root.join(manifest)).expect("a manifest");
        assert!(text.contains("[lints]\nworkspace = true\n"), "{manifest} does not take the lints of the workspace");
    }
    let mut wrong = Vec::new();
    for file in &shipped() {
        // From `allow`, `expect` or `warn` after a `[`, which no method has, to the end of the attribute.
        for (place, token) in file.tokens.iter().enumerate() {
            let before = place.checked_sub(1).map_or("", |before| file.tokens[before].text.as_str());
            if !["allow", "expect", "warn"].contains(&token.text.as_str()) || before != "[" {
                continue;
            }
            let words = file.tokens[place..].iter().map(|token| token.text.as_str()).take_while(|word| *word != "]");
            for word in words.filter(|word| LINTS.contains(word)) {
                wrong.push(format!("{}:{}: {word}", file.path, token.line));
            }
        }
    }
    none(&wrong, "Give an error back, or write the documentation.");
}

#[test]
fn a_module_is_named_as_its_file_and_stands_where_it_belongs() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for folder in ["src", "crates/libvirt-remote/src", "tests/lab/support/src", "tests/judge/src"] {
        walk(&root.join(folder), &mut paths);
    }
    let mut wrong = Vec::new();
    for path in &paths {
        let shown = path.strip_prefix(root).expect("a path in the repository").display();
        if path.file_name().is_some_and(|name| name == "mod.rs") {
            wrong.push(format!("{shown}: name it after its folder, beside it"));
        }
        if fs::read_to_string(path).expect("a source file that can be read").contains("#[path") {
            wrong.push(format!("{shown}: a module from elsewhere"));
        }
    }
    none(
        &wrong,
        "What tests share is in src/testing, behind the feature `testing`, or in the crate tests/lab/support.",
    );
}

/// Endpoint, headers and certificates are checked once, for metrics and logs alike.
#[test]
fn how_the_collector_is_reached_is_said_in_one_module() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| file.module() != "collector") {
        for named in file.paths() {
            let [first, .., last] = named.segments.as_slice() else { continue };
            if first == "tonic" && ["Certificate", "ClientTlsConfig", "Identity"].contains(&last.as_str()) {
                wrong.push(at(file, &named));
            }
        }
    }
    none(&wrong, "Ask src/collector.rs for the Collector's credentials.");
}

/// The registry gathers the agent's own metrics; they are written like every other family.
#[test]
fn one_writer_writes_prometheus_text() {
    let mut wrong = Vec::new();
    for file in &sources() {
        for named in
            file.paths().iter().filter(|named| named.segments.iter().any(|segment| segment.ends_with("Encoder")))
        {
            if named.segments[0] == "prometheus" {
                wrong.push(at(file, named));
            }
        }
    }
    none(&wrong, "Write it with export/prometheus/family.rs.");
}

/// The paths in backticks under a heading of CONTRIBUTING.md.
fn listed(heading: &str) -> BTreeSet<String> {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    let section = text.split("\n### ").find(|section| section.starts_with(heading)).expect("the heading");
    let section = section.split("\n## ").next().expect("a section");
    section
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|path| path.contains('/') || path.ends_with(".toml"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_file_that_the_guide_names_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    for heading in [
        "A metric from a field",
        "A group of statistics",
        "A flag with its variable",
        "Another way of sending OTLP",
        "TLS and passwords",
        "A fact of the XML",
        "Another source of facts",
    ] {
        let files = listed(heading);
        assert!(!files.is_empty(), "no file is named under {heading:?}");
        wrong.extend(files.into_iter().filter(|path| !root.join(path).exists()));
    }
    none(&wrong, "CONTRIBUTING.md says where changes go: correct it.");
}

/// Existing rows, groups and flags show which files a new one needs.
#[test]
fn a_row_a_group_and_a_flag_are_where_the_guide_says() {
    let mut wrong = Vec::new();
    for (heading, words) in [
        ("A metric from a field", &["\"storage.flush_requests\""][..]),
        ("A group of statistics", &["Group::Cpu", "Self::Cpu", ": Cpu,", "<Cpu as"]),
        ("A flag with its variable", &["health_listen:", "\"health-listen\"", "\"node-name\"", "node_name:"]),
    ] {
        let allowed = listed(heading);
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for file in sources() {
            let text = fs::read_to_string(root.join(&file.path)).expect("a source file");
            let shipped = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
            let told = words.iter().any(|word| shipped.contains(word));
            // CONTRIBUTING.md names an entity's own file, such as src/catalog/storage.rs, only in general.
            let own = file.path.starts_with("src/catalog/") || file.path.starts_with("src/model/");
            if told && !own && !allowed.contains(&file.path) {
                wrong.push(format!("{}: {heading}", file.path));
            }
        }
    }
    none(&wrong, "Say it in fewer places, or list the file in CONTRIBUTING.md.");
}

#[test]
fn files_are_short() {
    let mut wrong = Vec::new();
    for file in &shipped() {
        let limit = if file.path == "src/main.rs" { LONGEST_MAIN } else { LONGEST_FILE };
        if file.lines > limit {
            wrong.push(format!("{}: {} lines, {limit} is the most", file.path, file.lines));
        }
    }
    none(&wrong, "Split it by what it is about, into a folder of the same name.");
}

#[test]
fn the_clock_is_read_in_one_file() {
    let mut wrong = Vec::new();
    for file in shipped().iter().filter(|file| file.path != "src/clock.rs") {
        for token in file.tokens.iter().filter(|token| ["SystemTime", "UNIX_EPOCH"].contains(&token.text.as_str())) {
            wrong.push(format!("{}:{}: {}", file.path, token.line, token.text));
        }
        for named in file.paths() {
            if named.segments.starts_with(&["std", "time", "Instant"].map(str::to_owned)) {
                wrong.push(at(file, &named));
            }
        }
    }
    none(&wrong, "Take an Arc<dyn Clock>, or tokio::time::Instant for spans: tests can then set the time.");
}

#[test]
fn the_environment_is_read_in_config() {
    let mut wrong = Vec::new();
    for file in shipped().iter().filter(|file| file.module() != "config") {
        for named in file.paths() {
            let mut path = named.segments.iter().map(String::as_str);
            let reads = path.next() == Some("std") && path.next() == Some("env");
            // main receives the arguments; platform constants are not environment.
            let harmless = match path.next() {
                Some("consts") => true,
                Some("args_os" | "args") => file.path == "src/main.rs",
                _ => false,
            };
            if reads && !harmless {
                wrong.push(at(file, &named));
            }
        }
    }
    none(&wrong, "Let config read it, validate it and hand it over as a type.");
}

#[test]
fn libvirt_is_only_read() {
    let mut wrong = Vec::new();
    for file in &sources() {
        let mut previous = "";
        let mut following = file.tokens.iter().map(|token| token.text.as_str()).skip(1);
        for token in &file.tokens {
            let text = token.text.as_str();
            let next = following.next().unwrap_or("");
            if is_libvirt_function(text) && !LIBVIRT_FUNCTIONS.contains(&text) {
                wrong.push(format!("{}:{}: {text} is not in the list LIBVIRT_FUNCTIONS", file.path, token.line));
            }
            let called = [".", "::"].contains(&previous) && next == "(";
            let changes = (file.module() == "libvirt" && CHANGING_METHODS.contains(&text))
                || (in_library(file) && CHANGING_METHODS_OF_A_COMMON_NAME.contains(&text));
            if called && changes {
                wrong.push(format!("{}:{}: {text} changes something", file.path, token.line));
            }
            previous = text;
        }
        for named in file.paths() {
            if named.segments.ends_with(&["Connect", "open"].map(str::to_owned)) {
                wrong.push(format!("{}: opens a connection that may write", at(file, &named)));
            }
        }
    }
    none(&wrong, "The agent reads. If the call reads too, add it to the list with that in mind.");
}

#[test]
fn the_list_of_libvirts_functions_has_none_that_is_not_called() {
    let files: Vec<File> = sources().into_iter().filter(in_library).collect();
    let called = |name: &str| files.iter().flat_map(|file| &file.tokens).any(|token| token.text == name);
    let wrong: Vec<String> =
        LIBVIRT_FUNCTIONS.iter().filter(|name| !called(name)).map(|name| (*name).to_owned()).collect();
    none(&wrong, "Take it out of LIBVIRT_FUNCTIONS.");
}

#[test]
fn only_procedures_that_read_can_be_called() {
    let mut known: Vec<(u32, &str)> =
        Procedure::all().iter().map(|procedure| (procedure.number, procedure.function)).collect();
    let mut allowed = PROCEDURES.to_vec();
    known.sort_unstable();
    allowed.sort_unstable();
    assert_eq!(known, allowed, "if a new one reads too, add it to PROCEDURES with that in mind");

    // That table has all of them: no other file implements `Call`.
    let mut wrong = Vec::new();
    for file in crates().iter().filter(|file| !file.path.ends_with("/procedure.rs")) {
        for window in file.tokens.windows(3) {
            if let [implements, name, of] = window
                && (implements.text.as_str(), name.text.as_str(), of.text.as_str()) == ("impl", "Call", "for")
            {
                wrong.push(format!("{}:{}", file.path, implements.line));
            }
        }
    }
    none(&wrong, "Give it a line in the table of procedure.rs.");
}

/// Whether a word is a libvirt function (`virDomainFree`) and not a type (`virDomainPtr`).
fn is_libvirt_function(word: &str) -> bool {
    let of_libvirt =
        word.strip_prefix("vir").is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()));
    let is_type = LIBVIRT_TYPES.iter().any(|name| match name.strip_prefix('*') {
        Some(ending) => word.ends_with(ending),
        None => word == *name,
    });
    of_libvirt && !is_type
}

#[test]
fn completed_job_statistics_are_kept() {
    let mut wrong = Vec::new();
    for file in &sources() {
        let has = |word: &str| file.tokens.iter().any(|token| token.text == word);
        if has("VIR_DOMAIN_JOB_STATS_COMPLETED") && !has("VIR_DOMAIN_JOB_STATS_KEEP_COMPLETED") {
            wrong.push(file.path.clone());
        }
    }
    none(&wrong, "Without KEEP_COMPLETED the statistics are gone for everybody else once they were read.");
}

#[test]
fn every_queue_has_a_size() {
    let mut wrong = Vec::new();
    for file in &shipped() {
        for token in &file.tokens {
            if ["unbounded", "unbounded_channel", "UnboundedSender", "UnboundedReceiver"].contains(&token.text.as_str())
            {
                wrong.push(format!("{}:{}: {}", file.path, token.line, token.text));
            }
        }
        for named in file.paths().iter().filter(|named| named.segments.join("::") == "std::sync::mpsc::channel") {
            wrong.push(format!("{}: has no bound", at(file, named)));
        }
    }
    none(&wrong, "Use a channel with a size that is a named constant; when it is full, drop and count.");
}

#[test]
fn every_time_span_has_a_name() {
    let makers = ["from_secs", "from_millis", "from_micros", "from_nanos", "from_mins", "from_hours", "from_secs_f64"];
    let mut wrong = Vec::new();
    for file in &shipped() {
        for (place, token) in file.tokens.iter().enumerate() {
            let text = |offset: usize| file.tokens.get(place + offset).map_or("", |token| token.text.as_str());
            let literal = text(4).starts_with(|first: char| first.is_ascii_digit());
            if token.text != "Duration" || !makers.contains(&text(2)) || !literal {
                continue;
            }
            // To the start of the statement or item.
            let words = file.tokens[..place].iter().rev().map(|token| token.text.as_str());
            if !words.take_while(|word| ![";", "}"].contains(word)).any(|word| word == "const" || word == "static") {
                wrong.push(format!("{}:{}: Duration::{}({} …)", file.path, token.line, text(2), text(4)));
            }
        }
    }
    none(&wrong, "Make it a constant with a name, and say in its comment why it is this long.");
}

#[test]
fn both_vocabularies_have_the_same_rows() {
    // Each row's name without the vocabulary's prefix, and whether it is of one vocabulary alone: read from the Kubernetes
    // API, or about what a host's domains alone have.
    let rows = |vocabulary: Vocabulary| {
        let selection = Selection::everything(vocabulary);
        let all = [(Entity::Vm, selection.vm), (Entity::Daemon, selection.daemon)];
        let mut rows = Vec::new();
        for (entity, selected) in all {
            for row in selected {
                let short = row.name.strip_prefix(vocabulary.prefix(entity));
                let alone = matches!(
                    row.metric.read,
                    Read::Vmi(_) | Read::VmiEach(..) | Read::Domain(_) | Read::DomainEach(..)
                );
                rows.push((short.expect("a name with the vocabulary's prefix").to_owned(), alone));
            }
        }
        rows
    };
    let parts = |vocabulary| -> (Vec<_>, Vec<_>) { rows(vocabulary).into_iter().partition(|(_, alone)| *alone) };
    let ((api, both), (metadata, libvirt)) = (parts(Vocabulary::Kubevirt), parts(Vocabulary::Libvirt));
    assert_eq!(libvirt, both, "what libvirt tells of a machine is the same in every mode");
    assert!(!api.is_empty(), "KubeVirt's vocabulary has what the Kubernetes API alone knows");
    assert!(metadata.iter().all(|(name, _)| name.contains("metadata") || name.contains("openstack")), "{metadata:?}");
}

#[test]
fn every_invariant_names_the_tests_that_hold_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let document = fs::read_to_string(root.join("docs/architecture.md")).expect("docs/architecture.md");
    let section = document.split("\n## ").find(|section| section.starts_with("Invariants")).expect("its invariants");
    let mut wrong = Vec::new();
    let mut invariants = 0;
    for item in numbered_items(section) {
        invariants += 1;
        let first_line = item.lines().next().unwrap_or_default();
        let Some((_, held)) = item.split_once("Held by") else {
            wrong.push(format!("{first_line}: no \"Held by\""));
            continue;
        };
        let tests: Vec<&str> = held.split('`').skip(1).step_by(2).collect();
        if tests.is_empty() {
            wrong.push(format!("{first_line}: names no test"));
        }
        wrong.extend(tests.iter().filter_map(|test| missing(root, test)).map(|why| format!("{first_line}: {why}")));
    }
    assert!(invariants >= 8, "docs/architecture.md has {invariants} invariants; there were eight");
    none(&wrong, "Name tests as `folder::function` in docs/architecture.md, and rename them there too.");
}

fn numbered_items(section: &str) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    for line in section.lines() {
        if line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok()) {
            items.push(String::new());
        }
        if let Some(item) = items.last_mut() {
            item.push_str(line);
            item.push('\n');
        }
    }
    items
}

/// Why the test named `libvirt::a_function` (src/libvirt) or `lab::a_function` (tests/lab) is missing, if it is.
fn missing(root: &Path, test: &str) -> Option<String> {
    let Some((place, function)) = test.rsplit_once("::") else {
        return Some(format!("`{test}` does not say where the test is"));
    };
    let top = place.split("::").next().unwrap_or(place);
    let mut files = Vec::new();
    for home in ["src", "tests"].map(|folder| root.join(folder).join(top)) {
        if home.is_dir() {
            walk(&home, &mut files);
        }
        if home.with_extension("rs").is_file() {
            files.push(home.with_extension("rs"));
        }
    }
    // A planned module without files has no tests yet.
    if files.is_empty() && ARROWS.iter().any(|(name, _)| *name == top) {
        return None;
    }
    let wanted = ["fn", function, "("];
    let found = files.iter().any(|file| {
        let text = fs::read_to_string(file).expect("a source file that can be read");
        tokens(&text).windows(wanted.len()).any(|window| window.iter().map(|token| &token.text).eq(wanted))
    });
    (!found).then(|| format!("there is no test `{function}` under src/{top} or tests/{top}"))
}
