//! Panels of a dashboard as SVG, where Grafana is not to be had: titles, places and queries are the dashboard's, lines and
//! numbers are drawn here.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::support::prometheus::Series;

/// A column and a row of a dashboard's grid, in pixels.
const CELL: (f64, f64) = (50.0, 34.0);
/// Between two panels.
const GAP: f64 = 6.0;
/// Of lines and bars, one after the other.
const COLOURS: [&str; 8] = ["#3274d9", "#56a64b", "#e0752d", "#8f3bb8", "#e0b400", "#12a8a8", "#c4162a", "#7a7a7a"];
/// Between two samples, in seconds.
pub const STEP: f64 = 2.0;
/// The lines of a table or a timeline that have room.
const LINES: usize = 8;

/// Where a panel is, in the dashboard's grid: from the left, from the top, its width and height.
pub type Grid = (f64, f64, f64, f64);

/// What a panel shows.
pub enum Content {
    /// One number, or a name.
    Stat(String),
    /// Lines by name over a time.
    Lines { unit: String, lines: Vec<(String, Series)> },
    /// When something was so, by name.
    Timeline(Vec<(String, Series)>),
    /// Rows of labels with a value.
    Table(Vec<String>),
    /// The heading of a row of panels.
    Heading,
}

pub struct Panel {
    pub title: String,
    pub grid: Grid,
    pub content: Content,
}

/// A picture of panels between two times, with a line that says what it is.
pub fn picture(panels: &[Panel], (start, end): (f64, f64), caption: &str) -> String {
    let bottom = panels.iter().map(|panel| panel.grid.1 + panel.grid.3).fold(0.0, f64::max);
    let (width, height) = (24.0 * CELL.0, bottom * CELL.1 + 30.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#f4f5f5\"/>\n"
    );
    panels.iter().for_each(|panel| panel.draw(start, end, &mut svg));
    let _ = write!(svg, "<text x=\"8\" y=\"{}\" fill=\"#555\">{}</text>\n</svg>\n", height - 10.0, escaped(caption));
    svg
}

impl Panel {
    fn draw(&self, start: f64, end: f64, svg: &mut String) {
        let (x, y) = (self.grid.0 * CELL.0 + GAP / 2.0, self.grid.1 * CELL.1 + GAP / 2.0);
        let (width, height) = (self.grid.2 * CELL.0 - GAP, self.grid.3 * CELL.1 - GAP);
        let title = escaped(&self.title);
        if matches!(self.content, Content::Heading) {
            let _ = writeln!(
                svg,
                "<text x=\"{x}\" y=\"{}\" font-weight=\"bold\" font-size=\"14\">{title}</text>",
                y + 18.0
            );
            return;
        }
        let _ = writeln!(
            svg,
            "<svg x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"><rect width=\"100%\" height=\"100%\" fill=\"#fff\" \
             stroke=\"#ddd\"/><text x=\"8\" y=\"18\" font-weight=\"bold\" font-size=\"{}\">{title}</text>",
            if title.len() > 24 { 10 } else { 12 }
        );
        match &self.content {
            Content::Heading => {}
            Content::Stat(text) => {
                let size = if text.len() > 12 { 18 } else { 30 };
                let _ = writeln!(
                    svg,
                    "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" font-size=\"{size}\">{}</text>",
                    width / 2.0,
                    height / 2.0 + 24.0,
                    escaped(text)
                );
            }
            Content::Lines { unit, lines } => draw_lines(lines, unit, (start, end), (width, height), svg),
            Content::Timeline(bars) => draw_timeline(bars, (start, end), width, svg),
            Content::Table(rows) => {
                for (at, row) in rows.iter().take(LINES).enumerate() {
                    let _ = writeln!(svg, "<text x=\"8\" y=\"{}\">{}</text>", 42 + at * 20, escaped(row));
                }
            }
        }
        if self.is_empty() {
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"middle\" fill=\"#888\">none</text>",
                width / 2.0,
                height / 2.0
            );
        }
        svg.push_str("</svg>\n");
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Heading => false,
            Content::Stat(text) => text.is_empty(),
            Content::Lines { lines, .. } => lines.is_empty(),
            Content::Timeline(bars) => bars.is_empty(),
            Content::Table(rows) => rows.is_empty(),
        }
    }
}

fn draw_lines(
    lines: &[(String, Series)],
    unit: &str,
    (start, end): (f64, f64),
    (width, height): (f64, f64),
    svg: &mut String,
) {
    let (left, top, right, bottom) = (70.0, 28.0, width - 10.0, height - 40.0);
    let values = lines.iter().flat_map(|(_, series)| series.samples.iter().map(|(_, value)| *value));
    let values = values.filter(|value| value.is_finite());
    let most = Some(values.fold(0.0, f64::max)).filter(|most| *most > 0.0).unwrap_or(1.0);
    for part in [0.0, 0.5, 1.0] {
        let at = bottom - (bottom - top) * part;
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" x2=\"{right}\" y1=\"{at:.1}\" y2=\"{at:.1}\" stroke=\"#e5e5e5\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{}</text>",
            left - 4.0,
            at + 4.0,
            amount(most * part, unit)
        );
    }
    let mut legend = left;
    for ((name, series), colour) in lines.iter().zip(COLOURS.iter().cycle()) {
        let place = |(time, value): &(f64, f64)| {
            let x = left + (right - left) * (time - start) / (end - start);
            format!("{x:.1},{:.1}", bottom - (bottom - top) * value / most)
        };
        let points: Vec<_> = series.samples.iter().filter(|(_, value)| value.is_finite()).map(place).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
             <text x=\"{legend}\" y=\"{:.1}\" fill=\"{colour}\">{}</text>",
            points.join(" "),
            height - 12.0,
            escaped(name)
        );
        legend += 14.0 + 7.0 * f64::from(u32::try_from(name.chars().count()).unwrap_or_default());
    }
}

fn draw_timeline(bars: &[(String, Series)], (start, end): (f64, f64), width: f64, svg: &mut String) {
    let (left, right) = (150.0, width - 10.0);
    for (at, ((name, series), colour)) in bars.iter().zip(COLOURS.iter().cycle()).take(LINES).enumerate() {
        let top = 30 + at * 20;
        let _ = writeln!(svg, "<text x=\"8\" y=\"{}\">{}</text>", top + 12, escaped(name));
        let place = |time: f64| left + (right - left) * (time - start) / (end - start);
        // Where it was not so there is no sample.
        for times in series.samples.chunk_by(|(one, _), (next, _)| next - one <= STEP * 1.5) {
            let (first, last) = (times[0].0, times[times.len() - 1].0);
            let width = (place(last) - place(first)).max(1.0);
            let x = place(first);
            let _ =
                writeln!(svg, "<rect x=\"{x:.1}\" y=\"{top}\" width=\"{width:.1}\" height=\"15\" fill=\"{colour}\"/>");
        }
    }
}

/// An amount as a person reads it, in one of Grafana's units.
pub fn amount(value: f64, unit: &str) -> String {
    let (scaled, word) = match unit {
        "percentunit" => (value * 100.0, " %"),
        "s" if value < 1.0 => (value * 1e3, " ms"),
        "s" => (value, " s"),
        "bytes" | "binBps" => {
            let steps = [(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1_024.0, " KiB"), (1.0, " B")];
            let (step, word) = steps.into_iter().find(|(step, _)| value >= *step).unwrap_or((1.0, " B"));
            (value / step, word)
        }
        _ => (value, ""),
    };
    let per_second = if matches!(unit, "binBps" | "cps" | "iops" | "pps") { "/s" } else { "" };
    let digits = match scaled {
        whole if whole >= 100.0 || whole.fract() == 0.0 => 0,
        some if some >= 1.0 => 1,
        little if little >= 0.1 => 2,
        _ => 4,
    };
    format!("{scaled:.digits$}{word}{per_second}")
}

/// A name as a panel's legend makes it of labels: `{{domain}} read`.
pub fn named(legend: &str, labels: &BTreeMap<String, String>) -> String {
    labels.iter().fold(legend.to_owned(), |text, (label, value)| text.replace(&format!("{{{{{label}}}}}"), value))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
