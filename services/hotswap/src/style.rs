//! Colours, where somebody looks: on a terminal, unless `NO_COLOR` is set or the terminal has none.

use std::io::{self, IsTerminal as _};

use comfy_table::{Attribute, Cell as TableCell, Color};

use crate::exit::one_line;

/// What a piece of text means; its colour follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be, or new.
    Good,
    /// On its way, or changed.
    Warn,
    /// Broken, or gone.
    Bad,
    /// Of little weight.
    Faint,
    /// A head.
    Head,
}

impl Tone {
    fn code(self) -> &'static str {
        match self {
            Self::Good => "32",
            Self::Warn => "33",
            Self::Bad => "31",
            Self::Faint => "2",
            Self::Head => "1",
        }
    }
}

/// Whether standard output takes colours.
pub(crate) fn on_stdout() -> bool {
    wanted() && io::stdout().is_terminal()
}

/// Whether standard error takes colours.
pub(crate) fn on_stderr() -> bool {
    wanted() && io::stderr().is_terminal()
}

fn wanted() -> bool {
    let says_no = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
    !says_no && can_draw()
}

/// Whether a terminal can be drawn on, other than line by line.
pub(crate) fn can_draw() -> bool {
    std::env::var_os("TERM").is_some_and(|v| v != "dumb" && !v.is_empty())
}

/// The columns and rows of the terminal on standard output; `None`: there is none, or it does not say.
pub(crate) fn terminal_size() -> Option<(usize, usize)> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    let (columns, rows) = (usize::from(size.ws_col), usize::from(size.ws_row));
    (columns > 0 && rows > 0).then_some((columns, rows))
}

/// The text in its colour, where `colours` are taken.
pub(crate) fn paint(text: &str, tone: Tone, colours: bool) -> String {
    if colours { format!("\u{1b}[{}m{text}\u{1b}[0m", tone.code()) } else { text.to_owned() }
}

/// A cell of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A text that means something.
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }

    /// What it means.
    pub(crate) fn tone(&self) -> Option<Tone> {
        self.tone
    }

    /// The cell as the table takes it.
    pub(crate) fn drawn(&self, colours: bool) -> TableCell {
        let cell = TableCell::new(one_line(&self.text));
        match self.tone.filter(|_| colours) {
            None => cell,
            Some(Tone::Good) => cell.fg(Color::DarkGreen),
            Some(Tone::Warn) => cell.fg(Color::DarkYellow),
            Some(Tone::Bad) => cell.fg(Color::DarkRed),
            Some(Tone::Faint) => cell.add_attribute(Attribute::Dim),
            Some(Tone::Head) => cell.add_attribute(Attribute::Bold),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self { text, tone: None }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_painted_text_holds_escapes() {
        assert_eq!(paint("gone", Tone::Bad, false), "gone");
        assert_eq!(paint("gone", Tone::Bad, true), "\u{1b}[31mgone\u{1b}[0m");
    }
}
