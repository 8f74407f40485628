//! What a terminal shows of a rollout: where it is, how the arms compare, what the judge says.

use hotswap_api::rollout::v1::rollout::State;
use hotswap_api::rollout::v1::step::Kind;
use hotswap_api::rollout::v1::{ArmCounts, AspectFigures, Measurement, Rollout, Step, WatchRolloutResponse};
use hotswap_core::Timestamp;

use super::super::history::over;
use super::super::{is_over, part, state, state_words, verdict};
use crate::columns::percent;
use crate::exit::one_line;
use crate::style::{Tone, paint};
use crate::words::{between, span};

/// Where and when a picture is drawn.
#[derive(Clone, Copy)]
pub(super) struct Frame {
    /// Columns of the terminal.
    pub(super) width: usize,
    /// Its rows.
    pub(super) height: usize,
    pub(super) now: Timestamp,
}

/// A line: pieces, some in a colour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line(Vec<(String, Option<Tone>)>);

impl Line {
    fn plain(text: impl Into<String>) -> Self {
        Self::default().and(text)
    }

    fn and(mut self, text: impl Into<String>) -> Self {
        self.0.push((text.into(), None));
        self
    }

    fn toned(mut self, text: impl Into<String>, tone: Tone) -> Self {
        self.0.push((text.into(), Some(tone)));
        self
    }

    pub(super) fn width(&self) -> usize {
        self.0.iter().map(|(text, _)| text.chars().count()).sum()
    }

    /// Not wider than the terminal: what is drawn again must not have been broken.
    fn cut(mut self, width: usize) -> Self {
        let mut left = width;
        for (text, _) in &mut self.0 {
            *text = text.chars().take(left).collect();
            left -= text.chars().count();
        }
        self
    }

    pub(super) fn painted(&self, colours: bool) -> String {
        let piece = |(text, tone): &(String, Option<Tone>)| match tone {
            Some(tone) if !text.is_empty() => paint(text, *tone, colours),
            _ => text.clone(),
        };
        self.0.iter().map(piece).collect()
    }
}

/// The picture, line by line. `note`: a word below it.
pub(super) fn picture(seen: &WatchRolloutResponse, note: &str, frame: Frame) -> Vec<Line> {
    let Some(rollout) = &seen.rollout else { return Vec::new() };
    let mut below = vec![Line::default(), share(rollout, frame.width)];
    if let Some(measurement) = &seen.measurement {
        below.extend(arms(measurement));
    }
    below.extend(said(rollout, frame.width));
    if !note.is_empty() {
        below.push(Line::default().toned(one_line(note), Tone::Warn));
    }
    let mut lines = head(rollout, frame);
    lines.push(Line::default());
    // The last row is the cursor's.
    let room = frame.height.saturating_sub(lines.len() + below.len() + 1).max(3);
    lines.extend(around(stages(rollout, frame.now), room));
    lines.extend(below);
    lines.into_iter().map(|line| line.cut(frame.width)).collect()
}

fn head(r: &Rollout, frame: Frame) -> Vec<Line> {
    let word = state(r.state());
    let tone = word.tone().unwrap_or(Tone::Head);
    let (from, to) = (r.baseline_revision, r.candidate_revision);
    let began = r.create_time.as_ref().map(|at| {
        let end = r.end_time.unwrap_or_else(|| stamp(frame.now));
        let took = between(at, &end);
        if r.end_time.is_some() { format!(", took {took}") } else { format!(", for {took}") }
    });
    let first = Line::default()
        .toned(r.subject.clone(), Tone::Head)
        .and(format!("  revision {from} → {to}  {}", r.strategy_name))
        .toned(began.unwrap_or_default(), Tone::Faint);
    let words = one_line(&state_words(r));
    let rest = words.strip_prefix(&word.text).unwrap_or_default();
    // What ended it is told below, in full.
    let rest = if is_over(r) { "" } else { rest };
    let second = Line::default().toned(word.text.clone(), tone).and(rest);
    vec![first, second]
}

fn stamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: at.seconds(), nanos: 0 }
}

/// A stage, and whether it is the one under way.
struct Stage {
    line: Line,
    here: bool,
}

/// The acts, each with the wait, the verdict and the gate behind it.
fn stages(r: &Rollout, now: Timestamp) -> Vec<Stage> {
    let current = usize::try_from(r.current_step).unwrap_or_default();
    let mut stages: Vec<(usize, Vec<&Step>)> = Vec::new();
    for (i, step) in r.steps.iter().enumerate() {
        match stages.last_mut() {
            Some((_, steps)) if matches!(step.kind(), Kind::Bake | Kind::Judge | Kind::Gate) => {
                steps.push(step)
            }
            _ => stages.push((i, vec![step])),
        }
    }
    stages.into_iter().map(|(first, steps)| stage(r, first, &steps, current, now)).collect()
}

fn stage(r: &Rollout, first: usize, steps: &[&Step], current: usize, now: Timestamp) -> Stage {
    let what = steps.first().map(|step| one_line(&step.message)).unwrap_or_default();
    let what = what.strip_prefix("exposing the candidate to ").map(str::to_owned).unwrap_or(what);
    let last = first + steps.len() - 1;
    let done = r.state() == State::Promoted || last < current || steps.iter().all(|s| s.end_time.is_some());
    let here = !done && first <= current;
    let line = if done {
        let took = steps
            .first()
            .and_then(|s| s.start_time.as_ref())
            .zip(steps.last().and_then(|s| s.end_time.as_ref()));
        let took = took.map(|(from, to)| between(from, to)).unwrap_or_default();
        Line::default().toned("  ✓ ", Tone::Good).and(format!("{what:<38} ")).toned(took, Tone::Faint)
    } else if here
        && matches!(r.state(), State::RollingBack | State::RolledBack | State::Rejected | State::Frozen)
    {
        Line::default().toned("  ✗ ", Tone::Bad).and(what)
    } else if here {
        let doing = steps.get(current - first).map(|step| doing(r, step, now)).unwrap_or_default();
        Line::default().toned("  ▶ ", Tone::Warn).toned(format!("{what:<38} "), Tone::Head).and(doing)
    } else {
        Line::default().toned(format!("    {what}"), Tone::Faint)
    };
    Stage { line, here }
}

/// What goes on at a step, and how long yet.
fn doing(r: &Rollout, step: &Step, now: Timestamp) -> String {
    let doing = match step.kind() {
        Kind::Bake => "baking",
        Kind::Judge => "waiting for a verdict",
        Kind::Gate => "waiting for a person to promote it",
        _ => "under way",
    };
    let left = r.step_end_time.as_ref().map(|end| end.seconds.saturating_sub(now.seconds()).max(0));
    match left {
        Some(left) if !is_over(r) => {
            format!("{doing}, {} left", span(u64::try_from(left).unwrap_or_default()))
        }
        _ => doing.to_owned(),
    }
}

/// At most so many lines of the stages, around the one under way.
fn around(stages: Vec<Stage>, room: usize) -> Vec<Line> {
    if stages.len() <= room {
        return stages.into_iter().map(|stage| stage.line).collect();
    }
    let all = stages.len();
    let here = stages.iter().position(|stage| stage.here).unwrap_or(all - 1);
    let shown = room - 2;
    let first = here.saturating_sub(shown / 2).min(all - shown);
    let more = |n: usize| match n {
        0 => Line::default(),
        n => Line::default().toned(format!("    … {n} more"), Tone::Faint),
    };
    let mut lines = vec![more(first)];
    lines.extend(stages.into_iter().skip(first).take(shown).map(|stage| stage.line));
    lines.push(more(all - first - shown));
    lines
}

const LABEL: usize = 12;

fn label(text: &str) -> String {
    format!("  {text:<LABEL$}")
}

/// Who gets it, as a bar and in words.
fn share(r: &Rollout, width: usize) -> Line {
    let cells = width.saturating_sub(LABEL + 30).clamp(10, 40);
    let full = usize::try_from(r.share_bps.min(10_000)).unwrap_or_default() * cells / 10_000;
    let full = if r.share_bps > 0 { full.max(1) } else { 0 };
    Line::plain(label("share"))
        .toned("━".repeat(full), Tone::Good)
        .toned("─".repeat(cells - full), Tone::Faint)
        .and(format!(" {} ({})", percent(r.share_bps), one_line(&r.exposure)))
}

/// Both arms, and what is between them.
fn arms(m: &Measurement) -> Vec<Line> {
    let slow =
        if m.slow_over_us == 0 { "slow".to_owned() } else { format!("slow (over {})", over(m.slow_over_us)) };
    let row = |name: &str, cells: [String; 3]| {
        let [requests, errors, slow] = cells;
        Line::plain(format!("{}{requests:>10}  {errors:<22}  {slow}", label(name)))
    };
    let head = Line::default()
        .toned(format!("{}{:>10}  {:<22}  {slow}", label(""), "requests", "errors"), Tone::Faint);
    let none = ArmCounts::default();
    let of = |arm: Option<&ArmCounts>| {
        let arm = arm.unwrap_or(&none);
        let slow = if m.slow_over_us == 0 { "-".to_owned() } else { part(arm.slow, arm.total) };
        [arm.total.to_string(), part(arm.errors, arm.total), slow]
    };
    let mut lines =
        vec![head, row("candidate", of(m.candidate.as_ref())), row("baseline", of(m.baseline.as_ref()))];
    if !m.figures.is_empty() {
        let between = |aspect: &str, say: fn(&AspectFigures) -> String| {
            m.figures.iter().find(|f| f.aspect == aspect).map_or("-".to_owned(), say)
        };
        let both = |say| [String::new(), between("errors", say), between("slow", say)];
        lines
            .push(row("difference", both(|f| format!("{} to {}", points(f.lower_bps), points(f.upper_bps)))));
        lines.push(row("too much", both(|f| format!("{} points", points(f.limit_bps)))));
    }
    lines
}

/// Basis points as points of a percentage.
fn points(bps: f64) -> String {
    format!("{:+.2}", bps / 100.0)
}

/// The verdict and its words; of what is over, why.
fn said(r: &Rollout, width: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    if !r.verdict_message.is_empty() {
        let word = verdict(r.verdict());
        let tone = word.tone().unwrap_or(Tone::Faint);
        let text = one_line(&r.verdict_message);
        lines.extend(wrapped("verdict", &text, tone, width));
    }
    if is_over(r) {
        let tone = if r.state() == State::Promoted { Tone::Good } else { Tone::Bad };
        lines.extend(wrapped("ended", &one_line(&r.state_message), tone, width));
    }
    lines
}

/// A text behind a label, broken between words.
fn wrapped(name: &str, text: &str, tone: Tone, width: usize) -> Vec<Line> {
    let room = width.saturating_sub(LABEL + 2).max(20);
    let mut rows: Vec<String> = vec![String::new()];
    for word in text.split(' ') {
        match rows.last_mut() {
            Some(row) if row.is_empty() => row.push_str(word),
            Some(row) if row.chars().count() + 1 + word.chars().count() <= room => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    let mut name = name;
    rows.into_iter().map(|row| Line::plain(label(std::mem::take(&mut name))).toned(row, tone)).collect()
}

#[cfg(test)]
mod tests;
