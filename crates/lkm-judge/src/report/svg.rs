//! Draws a picture of a module's life as SVG: a state band, the reference count as steps, tasks as lanes, objects as bars.

use std::fmt::Write as _;

use lkm_trace::TaskEnd;

use crate::finding::Report;
use crate::picture::Picture;

/// Width of the names at the left, and of the drawing beside them, in pixels.
const NAMES: f64 = 250.0;
const WIDTH: f64 = 900.0;
/// Height of a row.
const ROW: f64 = 20.0;
/// Height of the reference count's steps.
const COUNT: f64 = 70.0;
/// Most letters of a name at the left.
const MAX_NAME: usize = 38;

/// Text in XML: markup and control characters of a hostile module do not reach the page.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// A drawing in the making: rows from the top.
struct Draw<'p> {
    picture: &'p Picture,
    out: String,
    y: f64,
}

/// The picture as an `svg` element.
pub(super) fn svg(report: &Report, picture: &Picture) -> String {
    let mut draw = Draw {
        picture,
        out: String::new(),
        y: 24.0,
    };
    draw.bands();
    draw.count(report);
    draw.lanes();
    draw.bars();
    draw.findings(report);
    let height = draw.y + 8.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\" role=\"img\" aria-label=\"the life of {}\">\n{}</svg>\n",
        NAMES + WIDTH + 20.0,
        escape(&report.module),
        draw.out
    )
}

impl Draw<'_> {
    /// Where a step lies: marks are evenly spread, so that a long wait takes no more room than a call.
    fn x(&self, step: usize) -> f64 {
        let marks = &self.picture.marks;
        let last = marks.len().saturating_sub(1).max(1);
        let rank = marks.partition_point(|m| *m <= step).saturating_sub(1);
        NAMES + WIDTH * rank as f64 / last as f64
    }

    fn name(&mut self, class: &str, text: &str) {
        let mut shown: String = text.chars().take(MAX_NAME).collect();
        if shown.len() < text.len() {
            shown.push('…');
        }
        let _ = writeln!(
            self.out,
            "<text class=\"{class}\" x=\"{}\" y=\"{}\"><title>{}</title>{}</text>",
            NAMES - 8.0,
            self.y + ROW * 0.7,
            escape(text),
            escape(&shown)
        );
    }

    /// A rectangle over steps, in this row.
    fn bar(&mut self, class: &str, from: usize, to: usize, height: f64, title: &str) {
        let (start, end) = (self.x(from), self.x(to));
        let _ = writeln!(
            self.out,
            "<rect class=\"{class}\" x=\"{start:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"><title>{}</title></rect>",
            self.y + (ROW - height) / 2.0,
            (end - start).max(2.0),
            escape(title)
        );
    }

    fn heading(&mut self, text: &str) {
        self.y += 10.0;
        self.name("heading", text);
        self.y += ROW;
    }

    fn bands(&mut self) {
        self.name("name", "phase");
        for band in &self.picture.bands {
            let title = format!("{} (load {})", band.phase.name(), band.load);
            let class = format!("phase {}", band.phase.name());
            self.bar(&class, band.from, band.to, ROW, &title);
            let (start, end) = (self.x(band.from), self.x(band.to));
            let word = band.phase.name();
            if end - start > word.len() as f64 * 7.0 {
                let _ = writeln!(
                    self.out,
                    "<text class=\"word\" x=\"{:.1}\" y=\"{:.1}\">{word}</text>",
                    start + 4.0,
                    self.y + ROW * 0.7
                );
            }
        }
        self.y += ROW;
    }

    /// The reference count as lsmod shows it, a step at each change.
    fn count(&mut self, report: &Report) {
        let steps = &report.refcount;
        let (Some(low), Some(high)) = (
            steps.iter().map(|s| s.value).min(),
            steps.iter().map(|s| s.value).max(),
        ) else {
            return;
        };
        let (low, high) = (low.min(0), high.max(1));
        self.y += 10.0;
        self.name("name", "reference count");
        let range = (high.saturating_sub(low)).max(1) as f64;
        let (top, end) = (self.y, self.x(self.picture.end));
        let level = |v: i64| top + COUNT - COUNT * (v.saturating_sub(low)) as f64 / range;
        for value in [low, 0, high] {
            let _ = writeln!(
                self.out,
                "<line class=\"grid\" x1=\"{NAMES}\" x2=\"{end:.1}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/><text class=\"axis\" x=\"{:.1}\" y=\"{:.1}\">{value}</text>",
                end + 4.0,
                level(value) + 4.0,
                y = level(value)
            );
        }
        let mut path = format!("M{NAMES} {:.1}", level(0));
        let mut dots = String::new();
        for step in steps {
            let (x, y) = (self.x(step.step), level(step.value));
            let _ = write!(path, " H{x:.1} V{y:.1}");
            let at = if step.place.at.is_empty() {
                String::new()
            } else {
                format!(" at {}", step.place.at)
            };
            let _ = writeln!(
                dots,
                "<circle class=\"count\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\"><title>{}: {}{}</title></circle>",
                step.value,
                escape(&step.why),
                escape(&at)
            );
        }
        let _ = writeln!(
            self.out,
            "<path class=\"count\" d=\"{path} H{end:.1}\"/>\n{dots}"
        );
        self.y += COUNT + 6.0;
    }

    fn lanes(&mut self) {
        if self.picture.lanes.is_empty() {
            return;
        }
        self.heading("tasks");
        for lane in &self.picture.lanes {
            self.name("name", &lane.name);
            let end = lane.ended.map_or(self.picture.end, |(step, _)| step);
            let how = match lane.ended {
                None => "never ended".to_owned(),
                Some((_, how)) => how.name().to_owned(),
            };
            let title = format!("{}: {how}", lane.name);
            let class = match lane.ended {
                None if lane.kthread => "lane left",
                Some((_, TaskEnd::Oops)) => "lane dead",
                _ => "lane",
            };
            self.bar(class, lane.from, end, 4.0, &title);
            for &(from, to) in &lane.runs {
                self.bar("runs", from, to.min(end), 12.0, &title);
            }
            if let (Some((ended, _)), Some(freed)) = (lane.ended, lane.freed) {
                self.bar("zombie", ended, freed, 2.0, "ended, not yet freed");
            }
            self.y += ROW;
        }
    }

    fn bars(&mut self) {
        if self.picture.bars.is_empty() {
            return;
        }
        self.heading("held");
        for bar in &self.picture.bars {
            let mut name = bar.kind.clone();
            if !bar.detail.is_empty() {
                let _ = write!(name, " {}", bar.detail);
            }
            self.name("name", &name);
            let (class, how) = match bar.to {
                Some(_) => ("held", "given back"),
                None => ("held left", "never given back"),
            };
            let title = format!("{name}, taken at {}: {how}", bar.at);
            let to = bar.to.unwrap_or(self.picture.end);
            self.bar(class, bar.from, to, 10.0, &title);
            self.y += ROW;
        }
        if self.picture.more_bars > 0 {
            let text = format!("and {} more, not shown", self.picture.more_bars);
            self.name("heading", &text);
            self.y += ROW;
        }
    }

    /// A line through everything where a finding was seen; its number stands on top.
    fn findings(&mut self, report: &Report) {
        let shown = report
            .roots()
            .filter(|f| f.replay == self.picture.replay && f.step <= self.picture.end);
        for (place, finding) in shown.enumerate() {
            let x = self.x(finding.step);
            let y = if place % 2 == 0 { 12.0 } else { 22.0 };
            let _ = writeln!(
                self.out,
                "<a href=\"#finding-{id}\"><line class=\"finding\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{y}\" y2=\"{:.1}\"/><circle class=\"finding\" cx=\"{x:.1}\" cy=\"{y}\" r=\"8\"><title>{}</title></circle><text class=\"mark\" x=\"{x:.1}\" y=\"{:.1}\">{id}</text></a>",
                self.y,
                escape(&format!("{}: {}", finding.rule, finding.message)),
                y + 3.5,
                id = finding.id
            );
        }
    }
}
