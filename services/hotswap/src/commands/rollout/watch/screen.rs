//! A picture that is drawn again in its place.

use hotswap_api::rollout::v1::WatchRolloutResponse;
use hotswap_core::{Clock as _, SystemClock};

use super::picture::{Frame, picture};
use crate::exit::Failure;
use crate::output;
use crate::style;

const HIDE_CURSOR: &str = "\u{1b}[?25l";
const SHOW_CURSOR: &str = "\u{1b}[?25h";
/// From the cursor to the end of the screen.
const CLEAR_BELOW: &str = "\u{1b}[J";

/// A part of a terminal.
pub(super) struct Screen {
    colours: bool,
    /// How wide each line is that stands there.
    drawn: Vec<usize>,
    /// A word below the picture.
    note: String,
}

impl Screen {
    pub(super) fn open(colours: bool) -> Self {
        // Where that can't be written, the first picture can't either, and says so.
        let _ = output::told(HIDE_CURSOR);
        Self { colours, drawn: Vec::new(), note: String::new() }
    }

    /// A word that stands below the picture from now on; empty: none.
    pub(super) fn note(&mut self, text: &str) {
        text.clone_into(&mut self.note);
    }

    /// Draws what is seen over what stands there.
    pub(super) fn draw(&mut self, seen: &WatchRolloutResponse) -> Result<(), Failure> {
        let (width, height) = style::terminal_size().unwrap_or((80, 24));
        let frame = Frame { width, height, now: SystemClock.now() };
        let lines = picture(seen, &self.note, frame);
        let up = rows(&self.drawn, width);
        let mut text = if up > 0 { format!("\r\u{1b}[{up}A{CLEAR_BELOW}") } else { String::new() };
        self.drawn = lines.iter().map(|line| line.width()).collect();
        for line in lines {
            text += &line.painted(self.colours);
            text.push('\n');
        }
        output::told(&text).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = output::told(SHOW_CURSOR);
    }
}

/// The rows that lines take: a terminal that was made narrower has broken some of them.
fn rows(lines: &[usize], width: usize) -> usize {
    lines.iter().map(|line| line.div_ceil(width.max(1)).max(1)).sum()
}

#[cfg(test)]
mod tests {
    use super::rows;

    #[test]
    fn lines_that_a_narrower_terminal_broke_are_counted() {
        assert_eq!(rows(&[0, 10, 20], 20), 3);
        assert_eq!(rows(&[0, 10, 20], 10), 4);
        assert_eq!(rows(&[], 10), 0);
    }
}
