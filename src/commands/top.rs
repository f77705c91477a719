//! `virt-otel top`: the table, live, with what each VM does per second.

mod detail;
mod head;
mod keys;
mod screen;
mod view;

use std::io::{self, IsTerminal as _, Write};

use crossterm::event::EventStream;
use futures_util::StreamExt as _;
use ratatui::DefaultTerminal;
use tokio::time::{Duration, interval};

use super::{Exit, output};
use crate::agent::{self, AgentError, Live};
use crate::config::{self, EXIT_USAGE};
use crate::telemetry::{KeptLines, Logs};
use screen::Screen;

/// How often it is drawn though nothing has happened: ages are in seconds.
const REDRAWN: Duration = Duration::from_secs(1);

/// How many lines of the log are shown.
const MESSAGES: usize = 2;

/// Reads and draws until told to end.
pub(super) fn top(config: &config::Top, err: &mut dyn Write) -> Exit {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        output::complain(
            err,
            "top needs a terminal (of kubectl exec and podman exec: -it); `virt-otel snapshot` prints the table once",
        );
        return Exit(EXIT_USAGE);
    }
    let shown = agent::runtime().map_err(AgentError::Runtime).and_then(|runtime| {
        let shown = runtime.block_on(show(config));
        runtime.shutdown_background();
        shown
    });
    match shown {
        Ok(Ok(())) => Exit::SUCCESS,
        Ok(Err(error)) => {
            let what = "the terminal could not be used";
            output::complain(err, &format!("{what}: {error}; `virt-otel snapshot` prints the table once"));
            Exit(output::EXIT_IOERR)
        }
        Err(error) => {
            output::complain(err, &output::chain(&error));
            Exit(error.exit_code())
        }
    }
}

async fn show(config: &config::Top) -> Result<io::Result<()>, AgentError> {
    let messages = Logs::keep(&agent::logs(&config.logs, None))?;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let mut live = Live::start(&config.source, &config.reading).await?;
    let drawn = match ratatui::try_init() {
        Ok(terminal) => {
            let drawn = draw(terminal, &mut live, config, &messages).await;
            // The terminal is as it was before anything is said on it.
            drawn.and(ratatui::try_restore())
        }
        Err(error) => Err(error),
    };
    live.end().await;
    Ok(drawn)
}

async fn draw(
    mut terminal: DefaultTerminal,
    live: &mut Live,
    config: &config::Top,
    messages: &KeptLines,
) -> io::Result<()> {
    let mut screen = Screen::new(config.reading.interval, config.colours);
    let mut events = EventStream::new();
    let mut clock = interval(REDRAWN);
    loop {
        let (api, messages) = (live.api_said(), messages.newest(MESSAGES));
        terminal.draw(|frame| view::draw(frame, &screen, api, &messages))?;
        tokio::select! {
            snapshot = live.next() => match snapshot {
                Some(snapshot) => screen.take(snapshot),
                None => return Ok(()),
            },
            event = events.next() => {
                // Without an event the terminal is gone.
                let Some(event) = event else { return Ok(()) };
                if keys::wish(&event?, screen.is_typing()).is_some_and(|wish| !screen.obey(wish)) {
                    return Ok(());
                }
            }
            _ = clock.tick() => {}
        }
    }
}
