//! Child processes that end with their handle, and with this process however it ends.

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process, kill_process_group};

/// How a process ended.
#[derive(Debug, Clone, Copy)]
pub struct Exit {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// From the request to end until it was gone.
    pub took: Duration,
}

/// A running child: killed with its process group and reaped when dropped.
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts the command with stdout and stderr appended to the log.
    #[track_caller]
    pub fn spawn(name: &str, command: Command, log: &Path) -> Process {
        Process::spawn_unbound(name, dying_with_us(&command), log)
    }

    /// [`spawn`](Self::spawn), but not killed with this process: for what a namespace ends.
    #[track_caller]
    pub fn spawn_unbound(name: &str, mut command: Command, log: &Path) -> Process {
        let output = File::options().create(true).append(true).open(log).expect("a log file for the child");
        let errors = output.try_clone().expect("the log file once more");
        command.stdin(Stdio::null()).stdout(output).stderr(errors);
        let described = format!("{command:?}");
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name} ({described}): {error}"));
        Process { child, name: name.to_owned(), log: log.to_owned(), ended: None }
    }

    /// [`spawn`](Self::spawn) with a connection in place of its standard input and output; its errors are discarded.
    #[track_caller]
    pub fn spawn_on(name: &str, command: Command, client: &TcpStream) -> Process {
        let mut command = dying_with_us(&command);
        client.set_nonblocking(false).expect("a connection that waits");
        let end = || OwnedFd::from(client.try_clone().expect("the connection once more"));
        command.stdin(end()).stdout(end()).stderr(Stdio::null());
        let child = spawn(command).unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        Process { child, name: name.to_owned(), log: PathBuf::new(), ended: None }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    /// Whether it has not ended yet.
    pub fn running(&mut self) -> bool {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("the state of our own child");
        }
        self.ended.is_none()
    }

    /// Waits for an answer, and gives up at once, with the log, when the process ends meanwhile.
    #[track_caller]
    pub fn wait_ready<T>(&mut self, timeout: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
        let name = self.name.clone();
        let started = Instant::now();
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            let running = self.running();
            assert!(
                running && started.elapsed() < timeout,
                "{name} {} instead of getting ready; its log:\n{}",
                if running { format!("took more than {timeout:?}") } else { "ended".to_owned() },
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Its only child, such as the program behind `nsenter`.
    #[track_caller]
    pub fn only_child(&mut self) -> u32 {
        let path = format!("/proc/{0}/task/{0}/children", self.pid());
        self.wait_ready(Duration::from_secs(10), || {
            std::fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok()
        })
    }

    /// Waits for its end without requesting it, and kills it after the timeout.
    pub fn wait_end(&mut self, timeout: Duration) -> Exit {
        self.end_within(timeout, Instant::now())
    }

    /// Sends SIGTERM, and kills it if it has not ended within the timeout.
    pub fn terminate(&mut self, timeout: Duration) -> Exit {
        let started = Instant::now();
        if self.running() {
            signal(self.pid(), Signal::TERM);
        }
        self.end_within(timeout, started)
    }

    fn end_within(&mut self, timeout: Duration, started: Instant) -> Exit {
        while self.running() && started.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(5));
        }
        let took = started.elapsed();
        self.kill();
        let status = self.ended.expect("the status of a process that was reaped");
        Exit { code: status.code(), signal: status.signal(), took }
    }

    /// Ends it and its process group now.
    pub fn kill(&mut self) {
        if self.running() {
            // A stopped process takes SIGKILL too; the others of its group must not stay stopped for ever.
            signal_group(self.pid(), Signal::KILL);
            self.ended = Some(self.child.wait().expect("the end of our own child"));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Sends a signal to one process. It may have ended already.
pub fn signal(pid: u32, signal: Signal) {
    let _ = kill_process(other_than_init(pid), signal);
}

fn signal_group(leader: u32, signal: Signal) {
    let _ = kill_process_group(other_than_init(leader), signal);
}

fn other_than_init(pid: u32) -> Pid {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process id");
    assert!(!pid.is_init(), "refusing to signal process 1");
    pid
}

type Job = Box<dyn FnOnce() + Send>;

/// The same command, whose process the kernel kills when this one ends, however it ends. The command's inherited
/// environment must not have been cleared.
fn dying_with_us(command: &Command) -> Command {
    let mut bound = Command::new("setpriv");
    bound.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program());
    with_all_of(command, bound)
}

/// The same command once more.
pub fn copy(command: &Command) -> Command {
    with_all_of(command, Command::new(command.get_program()))
}

/// Another command with the arguments, variables and folder of this one.
fn with_all_of(command: &Command, mut other: Command) -> Command {
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => other.env(name, value),
            None => other.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        other.current_dir(folder);
    }
    other
}

/// Spawns in a process group of its own.
///
/// The kernel sends the parent-death signal when the *thread* that forked ends, so one thread which never ends forks
/// for all tests; it goes only with the process.
fn spawn(mut command: Command) -> std::io::Result<Child> {
    static KEEPER: LazyLock<Sender<Job>> = LazyLock::new(|| {
        let (sender, jobs) = channel::<Job>();
        std::thread::Builder::new()
            .name("keeper of children".to_owned())
            .spawn(move || jobs.into_iter().for_each(|job| job()))
            .expect("a thread");
        sender
    });
    command.process_group(0);
    let (sender, receiver) = channel();
    KEEPER
        .send(Box::new(move || {
            let _ = sender.send(command.spawn());
        }))
        .expect("the keeper thread");
    receiver.recv().expect("the keeper thread's answer")
}

/// What a command printed, and how it ended.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command to its end; none if it did not end in time (it is killed then).
pub fn run(command: Command, timeout: Duration) -> Option<Output> {
    let described = format!("{command:?}");
    let mut command = dying_with_us(&command);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let paths = [folder.path().join("out"), folder.path().join("err")];
    let files = paths.each_ref().map(|path| File::create(path).expect("a file for the output"));
    let [stdout, stderr] = files;
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let child = spawn(command).unwrap_or_else(|error| panic!("cannot run {described}: {error}"));
    let mut process = Process { child, name: described, log: paths[1].clone(), ended: None };
    let started = Instant::now();
    while process.running() {
        if started.elapsed() > timeout {
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let code = process.ended.and_then(|status| status.code());
    let [stdout, stderr] =
        paths.map(|path| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned());
    Some(Output { code, stdout, stderr })
}

/// The children of a process, whichever of its threads has started them; zombies too.
pub fn children(pid: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Whether a process exists and is no zombie.
pub fn alive(pid: u32) -> bool {
    status_field(pid, "State").is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A line of /proc/PID/status, such as `VmRSS` or `Threads`.
pub fn status_field(pid: u32, field: &str) -> Option<String> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.split(':').next() == Some(field))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

/// User and system time that a process has used.
pub fn cpu_time(pid: u32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command's name may hold anything; the numbers start after its closing bracket, with field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // USER_HZ is 100 on every Linux we run on; it is part of the kernel's interface.
    Some(Duration::from_millis(ticks * 10))
}

/// The number of a group, from /etc/group.
pub fn group_id(name: &str) -> Option<u32> {
    account("/etc/group", name)?.get(2)?.parse().ok()
}

/// The user and group numbers of a user, from /etc/passwd.
pub fn user_ids(name: &str) -> Option<(u32, u32)> {
    let fields = account("/etc/passwd", name)?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

fn account(file: &str, name: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name))?;
    Some(line.split(':').map(str::to_owned).collect())
}

/// Whether this process runs as root.
pub fn is_root() -> bool {
    geteuid().is_root()
}
