//! A page of the documents whose commands are run, as they stand there and in their order.
//!
//! Each block of commands has a comment before it, which readers do not see:
//!
//! - `<!-- run -->`: they succeed. With `; exit: 0 or 1`, they end with one of these codes instead; with `; shows: TEXT`, as
//!   often as wanted, what they print has this text soon, and they are run until it has.
//! - `<!-- run in the background -->`: they run until the page ends.
//! - `<!-- not run: REASON -->`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::process::{self, Process};
use super::{answer_within, repository};

/// Where a block of commands begins.
const FENCE: &str = "```sh";
/// Where one begins that nobody would run.
const FENCES: [&str; 5] = [FENCE, "```bash", "```shell", "```console", "```sh-session"];
/// How long a block may take.
const BLOCK: Duration = Duration::from_secs(180);
/// How long it may take until a block shows what it is to show, on a busy machine.
const SHOWN: Duration = Duration::from_secs(120);

/// A block of commands.
#[derive(Debug, PartialEq, Eq)]
pub struct Step {
    /// The line on which it begins.
    pub line: usize,
    pub todo: Todo,
    pub commands: String,
}

/// What is done with a block.
#[derive(Debug, PartialEq, Eq)]
pub enum Todo {
    /// They end with one of the codes, and print all of the texts.
    Run {
        codes: Vec<i32>,
        shows: Vec<String>,
    },
    Background,
    /// For this reason they cannot be run.
    Not(String),
}

/// The blocks of a page, or what is wrong with its comments.
pub fn steps(text: &str) -> Result<Vec<Step>, String> {
    let (mut steps, mut lines, mut mark) = (Vec::new(), text.lines().enumerate(), None);
    while let Some((at, line)) = lines.next() {
        if let Some(comment) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(" -->")) {
            mark = todo(comment).map_err(|error| format!("line {}: {error}", at + 1))?;
        } else if FENCES.contains(&line.trim()) && line != FENCE {
            return Err(format!("line {}: a block of commands begins with {FENCE}, at the line's beginning", at + 1));
        } else if line == FENCE {
            let todo = mark.take().ok_or_else(|| format!("line {}: nothing says whether this is run", at + 1))?;
            let commands = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
            let commands = commands.map(|line| format!("{line}\n")).collect();
            steps.push(Step { line: at + 1, todo, commands });
        } else if mark.is_some() {
            return Err(format!("line {}: a block of commands has to follow its comment", at + 1));
        }
    }
    Ok(steps)
}

/// What a comment says; nothing if it is about something else.
fn todo(comment: &str) -> Result<Option<Todo>, String> {
    if let Some(reason) = comment.strip_prefix("not run: ") {
        return Ok(Some(Todo::Not(reason.to_owned())));
    }
    if comment == "run in the background" {
        return Ok(Some(Todo::Background));
    }
    let mut parts = comment.split("; ");
    if parts.next() != Some("run") {
        return Ok(None);
    }
    let (mut codes, mut shows) = (Vec::new(), Vec::new());
    for part in parts {
        if let Some(text) = part.strip_prefix("shows: ") {
            shows.push(text.to_owned());
        } else if let Some(list) = part.strip_prefix("exit: ") {
            let list = list.split(" or ").map(str::parse).collect::<Result<Vec<i32>, _>>();
            codes.extend(list.map_err(|error| format!("{part:?}: {error}"))?);
        } else {
            return Err(format!("{part:?} is neither shows: nor exit:"));
        }
    }
    if codes.is_empty() {
        codes.push(0);
    }
    Ok(Some(Todo::Run { codes, shows }))
}

/// A folder like a clone of the repository, with programs that the page's reader has installed.
pub struct Place {
    folder: TempDir,
}

impl Place {
    /// With what the repository has of these names, and these programs by these names.
    #[track_caller]
    pub fn new(of_repository: &[&str], programs: &[(&str, PathBuf)]) -> Place {
        let place = Place { folder: tempfile::Builder::new().prefix("page-").tempdir().expect("a folder") };
        let link = |from: &Path, to: PathBuf| std::os::unix::fs::symlink(from, to).expect("a link");
        of_repository.iter().for_each(|name| link(&repository().join(name), place.path().join(name)));
        std::fs::create_dir(place.programs()).expect("a folder for programs");
        programs.iter().for_each(|(name, program)| link(program, place.programs().join(name)));
        place
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn programs(&self) -> PathBuf {
        self.path().join("programs")
    }

    /// Follows a page. `bash` makes the command that is given a script; `shorter` are texts in place of which others are
    /// run, such as an interval.
    #[track_caller]
    pub fn follow(&self, page: &str, shorter: &[(&str, &str)], bash: &dyn Fn() -> Command) {
        let text = std::fs::read_to_string(repository().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        let steps = steps(&text).unwrap_or_else(|error| panic!("{page}, {error}"));
        let mut background = Vec::new();
        let (mut ran, mut looked_at) = (0, 0);
        for step in &steps {
            let commands = shorter.iter().fold(step.commands.clone(), |text, (old, new)| text.replace(old, new));
            let script = format!("cd {}\n{commands}", self.path().display());
            let command = || {
                let mut command = bash();
                let path = std::env::var("PATH").unwrap_or_default();
                command.args(["-euo", "pipefail", "-c", &script]);
                command.env("PATH", format!("{}:{path}", self.programs().display()));
                command
            };
            let name = format!("{page}:{}", step.line);
            println!("{name}");
            match &step.todo {
                Todo::Not(_) => continue,
                Todo::Background => {
                    let log = self.path().join(format!("background-{}.log", step.line));
                    background.push(Process::spawn(&name, command(), &log));
                }
                Todo::Run { codes, shows } => {
                    shown(&name, codes, shows, &mut background, &command);
                    // Later, the page itself may have ended them.
                    for process in background.iter_mut().skip(looked_at) {
                        assert!(process.running(), "{name}: what is in the background has ended: {}", process.log());
                    }
                    looked_at = background.len();
                }
            }
            ran += 1;
        }
        assert!(ran > 0, "{page} has nothing to run");
        println!("{page}: {ran} of {} blocks were run", steps.len());
    }
}

/// Runs a block, as often as needed until it ends and shows as wanted; once, if it is to show nothing.
#[track_caller]
fn shown(name: &str, codes: &[i32], shows: &[String], background: &mut [Process], command: &dyn Fn() -> Command) {
    let mut last = String::new();
    let timeout = if shows.is_empty() { Duration::ZERO } else { SHOWN };
    let done = answer_within(timeout, || {
        let Some(output) = process::run(command(), BLOCK) else {
            last = format!("it did not end within {BLOCK:?}");
            return None;
        };
        let text = output.stdout + &output.stderr;
        let well = output.code.is_some_and(|code| codes.contains(&code))
            && shows.iter().all(|wanted| text.contains(wanted.as_str()));
        last = format!("exit {:?}\n{text}", output.code);
        well.then_some(())
    });
    let mut logs = || {
        let logs = background
            .iter_mut()
            .map(|process| format!("\n-- in the background, running: {}\n{}", process.running(), process.log()));
        logs.collect::<String>()
    };
    assert!(done.is_some(), "{name}: wanted {codes:?} and {shows:?}, but: {last}{}", logs());
}
