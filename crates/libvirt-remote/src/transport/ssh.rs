//! A stream through the ssh program's standard input and output.

use std::io;
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};

use super::error::ConnectError;

/// How many bytes of ssh's standard error are kept: the last ones say why it ended.
const SAID_MAX: usize = 2_048;

/// Variables that ssh runs without, so that it asks nobody.
const ASKING: [&str; 2] = ["SSH_ASKPASS", "SSH_ASKPASS_REQUIRE"];

/// An ssh child process. Dropping it kills it at once; tokio reaps it when it has ended.
#[derive(Debug)]
pub struct SshStream {
    // Held because dropping it kills the process.
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    errors: Option<ChildStderr>,
    said: Vec<u8>,
}

impl SshStream {
    /// Starts ssh in our process group, with no terminal as a standard stream.
    pub(super) fn start(program: &str, arguments: &[String]) -> Result<Self, ConnectError> {
        let mut command = Command::new(program);
        command.args(arguments).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in ASKING {
            command.env_remove(name);
        }
        let failed = |cause| {
            if super::no_descriptors(&cause) {
                return ConnectError::Descriptors { place: format!("the program `{program}`"), cause };
            }
            ConnectError::Program { program: program.to_owned(), cause }
        };
        let mut child = command.spawn().map_err(failed)?;
        let (input, output, errors) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output)) = (input, output) else {
            return Err(failed(io::Error::other("it has no standard input or output")));
        };
        Ok(Self { child, input, output, errors, said: Vec::new() })
    }

    /// The child's process id, until it has ended.
    #[must_use]
    pub fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Reads its standard error, and keeps the end of it.
    fn poll_errors(&mut self, context: &mut Context<'_>) {
        while let Some(errors) = &mut self.errors {
            let mut bytes = [0; 512];
            let mut room = ReadBuf::new(&mut bytes);
            match Pin::new(errors).poll_read(context, &mut room) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) if !room.filled().is_empty() => {
                    self.said.extend_from_slice(room.filled());
                    let surplus = self.said.len().saturating_sub(SAID_MAX);
                    self.said.drain(..surplus);
                }
                Poll::Ready(_) => self.errors = None,
            }
        }
    }

    /// Why ssh ended.
    fn last_words(&self) -> io::Error {
        let said = String::from_utf8_lossy(&self.said);
        let said: Vec<&str> = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        let said = said.join(" / ");
        let advice = if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
            "; the host's key is another one than known_hosts has: make sure that it is the right host, then put its new key there"
        } else if said.contains("Host key verification failed") {
            "; ssh would ask whether the host's key is the right one, and there is nobody to be asked: put the key into known_hosts"
        } else if said.contains("Permission denied (") {
            "; ssh would ask for a password or a passphrase, and there is nobody to be asked: give it a key with keyfile= or by an agent"
        } else if said.contains("command not found") || said.contains(": not found") {
            "; the host needs virt-ssh-helper, or a netcat that knows UNIX sockets"
        } else {
            ""
        };
        if said.is_empty() {
            return io::Error::other("ssh has ended and said nothing");
        }
        io::Error::other(format!("ssh has ended: {said}{advice}"))
    }
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, room: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.poll_errors(context);
        let before = room.filled().len();
        std::task::ready!(Pin::new(&mut self.output).poll_read(context, room))?;
        if room.filled().len() > before {
            return Poll::Ready(Ok(()));
        }
        // ssh has closed its output. It explains why before it ends.
        if self.errors.is_some() {
            self.poll_errors(context);
            if self.errors.is_some() {
                return Poll::Pending;
            }
        }
        Poll::Ready(Err(self.last_words()))
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match std::task::ready!(Pin::new(&mut self.input).poll_write(context, bytes)) {
            // ssh has ended. Reading says why.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Poll::Pending,
            written => Poll::Ready(written),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(context)
    }
}
