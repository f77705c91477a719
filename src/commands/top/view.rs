//! Draws the screen. Pure: a screen gives cells.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Cell, Paragraph, Row, Table, TableState};

use super::screen::{Order, Screen, Sight};
use super::{detail, head};
use crate::commands::table::{self, absent};
use crate::config::Colours;
use crate::model::{Bytes, HypervisorType, Status, Vm};
use crate::rates::Rates;

/// The columns, with their widths; the name takes what is left.
const COLUMNS: [(&str, u16); 11] = [
    ("NAME", 0),
    ("STATE", 18),
    ("HYPERVISOR", 10),
    ("VCPUS", 5),
    ("CPU%", 6),
    ("READY%", 6),
    ("MEM USED/TOTAL", 14),
    ("DISK R/W/s", 11),
    ("LATENCY", 8),
    ("NET RX/TX/s", 11),
    ("READ", 7),
];

/// The shortest name column.
const NAME_LEAST: u16 = 12;

/// Below this there is room for nothing.
const LEAST: (u16, u16) = (20, 4);

/// What the keys do, and what the columns are.
const HELP: &str = "\
↑ ↓ PgUp PgDn Home End   another VM (k, j)
Enter                    one VM, whole; and back
c r m d n a              sort by cpu, ready, memory, disk, network, name; again: the other way round
/                        only VMs whose name has what is typed; Esc: all of them
? h                      these lines
Esc                      back
q Ctrl-C                 end

CPU% and READY%          of one processor: 200 is two of them. Ready: vCPUs that would run and wait for a processor
DISK and NET /s          bytes a second, of the two newest readings
LATENCY                  of a request to a disk
READ                     stuck: its QEMU hangs; partial: a part of it did not answer
-                        not known

Red: stuck, or of unknown hypervisor. Yellow: emulated (qemu-tcg).";

/// Draws what there is. `api`: whether the Kubernetes API has listed the VMs. `messages`: the newest lines of the log.
pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen, api: Option<bool>, messages: &[String]) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        return frame.render_widget(Paragraph::new("too small"), area);
    }
    let head: Vec<Line<'_>> = head::lines(screen, api).into_iter().map(Line::from).collect();
    let messages: Vec<Line<'_>> = messages.iter().map(|line| Line::from(table::printable(line))).collect();
    let rows = |lines: &[Line<'_>]| Constraint::Max(u16::try_from(lines.len()).unwrap_or(u16::MAX));
    let parts = [rows(&head), Constraint::Min(2), rows(&messages), Constraint::Length(1)];
    let [above, body, below, foot] = Layout::vertical(parts).areas(area);
    frame.render_widget(Paragraph::new(head), above);
    match screen.sight() {
        Sight::Table => vms(frame, body, screen),
        Sight::Detail => frame.render_widget(Paragraph::new(one(screen)), body),
        Sight::Help => frame.render_widget(Paragraph::new(Text::from(HELP)), body),
    }
    frame.render_widget(Paragraph::new(messages).style(Style::new().add_modifier(Modifier::DIM)), below);
    let reversed = Style::new().add_modifier(Modifier::REVERSED);
    frame.render_widget(Paragraph::new(keys(screen)).style(reversed), foot);
}

fn keys(screen: &Screen) -> String {
    if screen.is_typing() {
        return format!(" name has: {}_   Enter: keep  Esc: all", table::printable(screen.filter()));
    }
    let (now, reversed) = screen.order();
    let orders = Order::ALL.map(|(order, key, word)| match (order == now, reversed) {
        (true, false) => format!("[{key}]{word}↓"),
        (true, true) => format!("[{key}]{word}↑"),
        (false, _) => format!("{key} {word}"),
    });
    let filter = screen.filter();
    let filter = if filter.is_empty() { String::new() } else { format!("  /{}", table::printable(filter)) };
    format!(" q end  ? help  Enter one VM  / name{filter}  sort: {}", orders.join("  "))
}

fn vms(frame: &mut Frame<'_>, area: Rect, screen: &Screen) {
    let vms = screen.vms();
    let row = |vm: &&Vm| Row::new(cells(vm, &screen.rates(vm)).map(Cell::from)).style(style(vm, screen.colours()));
    let rows: Vec<Row<'_>> = vms.iter().map(row).collect();
    let width = |(_, width)| if width == 0 { Constraint::Min(NAME_LEAST) } else { Constraint::Length(width) };
    let header = Row::new(COLUMNS.map(|(title, _)| title)).style(Style::new().add_modifier(Modifier::BOLD));
    let marked = Style::new().add_modifier(Modifier::REVERSED);
    let table = Table::new(rows, COLUMNS.map(width)).header(header).row_highlight_style(marked);
    let mut state = TableState::new().with_selected(screen.row(&vms));
    frame.render_stateful_widget(table, area, &mut state);
}

/// One that hangs or cannot be read stands out, and one that is emulated. The words say the same.
fn style(vm: &Vm, colours: Colours) -> Style {
    let colour = if vm.collection.stuck || vm.hypervisor == Some(HypervisorType::Unknown) {
        Color::Red
    } else if vm.hypervisor == Some(HypervisorType::QemuTcg) {
        Color::Yellow
    } else {
        return Style::new();
    };
    match colours {
        Colours::On => Style::new().fg(colour),
        Colours::Off => Style::new().add_modifier(Modifier::BOLD),
    }
}

fn cells(vm: &Vm, rates: &Rates) -> [String; COLUMNS.len()] {
    let vcpus = vm.vcpus.as_ref().and_then(|vcpus| vcpus.value.current);
    [
        table::name(&vm.identity),
        vm.status.map_or_else(absent, Status::shown),
        vm.hypervisor.map_or_else(absent, |hypervisor| hypervisor.as_str().to_owned()),
        vcpus.map_or_else(absent, |vcpus| vcpus.to_string()),
        percent(rates.cpu),
        percent(rates.ready),
        table::memory(vm),
        pair(rates.read, rates.written),
        milliseconds(rates.latency),
        pair(rates.received, rates.sent),
        table::collection(&vm.collection).to_owned(),
    ]
}

/// The VM that is looked at: its row, a cell a line, and the rest.
fn one(screen: &Screen) -> Vec<Line<'static>> {
    let Some(vm) = screen.vm() else { return vec![Line::from("it is gone")] };
    let cells = cells(vm, &screen.rates(vm));
    let row = COLUMNS.iter().map(|(title, _)| *title).zip(cells);
    row.chain(detail::lines(vm)).map(|(title, text)| Line::from(format!("{title:<16}{text}"))).collect()
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(absent, |value| format!("{:.1}", value * 100.0))
}

fn milliseconds(seconds: Option<f64>) -> String {
    seconds.map_or_else(absent, |seconds| format!("{:.1}ms", seconds * 1_000.0))
}

fn pair(one: Option<f64>, other: Option<f64>) -> String {
    match (one, other) {
        (None, None) => absent(),
        _ => format!("{}/{}", amount(one), amount(other)),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is not negative, and is rounded")]
fn amount(bytes: Option<f64>) -> String {
    bytes.map_or_else(absent, |bytes| table::humane(Bytes(bytes.round() as u64)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::buffer::Buffer;

    use super::super::screen::Wish;
    use super::*;
    use crate::testing::sample;

    fn buffer(screen: &Screen, width: u16, height: u16) -> Buffer {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, screen, None, &["WARN a message".to_owned()])).unwrap();
        terminal.backend().buffer().clone()
    }

    fn drawn(screen: &Screen, width: u16, height: u16) -> String {
        let buffer = buffer(screen, width, height);
        let rows = buffer.content().chunks(usize::from(width).max(1));
        rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
    }

    fn screen(colours: Colours) -> Screen {
        let mut screen = Screen::new(Duration::from_secs(15), colours);
        screen.take(Arc::new(sample::snapshot()));
        screen
    }

    #[test]
    fn every_vm_has_a_row_the_daemon_a_line_and_the_log_its_own() {
        let text = drawn(&screen(Colours::Off), 140, 14);
        for part in ["5 VMs", "qemu:///system: up", "NAME", "web-1", "db-1", "paused (ioerror)", "stuck", "qemu-tcg"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(text.contains("WARN a message") && text.contains("q end"), "{text}");
    }

    #[test]
    fn what_is_not_known_is_a_dash_and_no_zero() {
        let text = drawn(&screen(Colours::Off), 140, 14);
        let row = text.lines().find(|line| line.starts_with("mover")).expect("its row");
        assert!(row.contains('-') && !row.contains('0'), "{row}");
    }

    #[test]
    fn there_are_colours_only_if_they_are_wanted() {
        let coloured = |colours| buffer(&screen(colours), 140, 14).content().iter().any(|cell| cell.fg != Color::Reset);
        assert!(coloured(Colours::On));
        assert!(!coloured(Colours::Off));
    }

    #[test]
    fn one_vm_is_shown_whole() {
        let mut screen = screen(Colours::Off);
        screen.obey(Wish::Sort(Order::Memory));
        screen.obey(Wish::Enter);
        let text = drawn(&screen, 120, 60);
        for part in ["NAME            web-1", "MEM USED/TOTAL  570M/2.0G", "DISK            rootdisk"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn the_help_names_every_order_and_what_is_typed_is_seen() {
        let mut screen = screen(Colours::Off);
        screen.obey(Wish::Help);
        let text = drawn(&screen, 140, 30);
        for (_, key, word) in Order::ALL {
            assert!(HELP.contains(word) && HELP.contains(key) && text.contains("sort by"), "{word}");
        }
        for wish in [Wish::Back, Wish::Filter, Wish::Type('w')] {
            screen.obey(wish);
        }
        assert!(drawn(&screen, 140, 30).contains("name has: w_"));
    }

    #[test]
    fn no_terminal_is_too_small() {
        for (width, height) in [(0, 0), (1, 1), (3, 2), (20, 5), (500, 200)] {
            for wish in [None, Some(Wish::Enter), Some(Wish::Help)] {
                let mut screen = screen(Colours::On);
                wish.map(|wish| screen.obey(wish));
                buffer(&screen, width, height);
            }
        }
        assert!(drawn(&screen(Colours::On), 12, 3).contains("too small"));
    }
}
