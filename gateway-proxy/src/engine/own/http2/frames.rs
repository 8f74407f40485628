//! What a client sends besides requests. Each frame costs the gateway some work, and some of them bring nothing: they
//! are paid from a stock that fills up with time, and with every frame that does bring something. Who empties it is
//! ended, whatever kind of frame it was; the limits of h2 hold beside it.

use std::cell::Cell;

use super::PREFACE;

/// Length of a frame's head, in bytes.
const HEAD: usize = 9;
/// Frames that bring nothing: so many at once, and so many more a second.
const IDLE: (u32, u32) = (1_000, 100);
/// How many of them a frame with a head or data allows: two updates of windows, a ping, and some room.
const PER_FRAME: u32 = 4;
/// The smallest limit that a peer may have for a frame of data (RFC 9113 section 6.5.2), in bytes.
const FRAME: usize = 16_384;
/// Resets are saved up over so many seconds.
pub(super) const RESETS_SAVED: u32 = 5;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What the streams of a connection have earned since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Earned {
    /// Frames of data that went out.
    pub(super) data: Cell<u32>,
    /// Responses that went out whole.
    pub(super) whole: Cell<u32>,
}

/// Looks at the frames of a client as they come.
#[derive(Debug)]
pub(super) struct Frames {
    head: [u8; HEAD],
    have: usize,
    /// Bytes of the preface or a frame that are not looked at.
    skip: usize,
    /// The frame is a part of a head.
    in_head: bool,
    /// The last part of a head has not come.
    in_block: bool,
    /// Heads that have begun.
    heads: u64,
    idle: Stock,
    resets: Stock,
    is_over: bool,
}

impl Earned {
    /// Counts the frames that so many bytes of data go out in; none is smaller than the peer lets them be, but the last.
    pub(super) fn add_data(&self, bytes: usize) {
        let frames = u32::try_from(bytes.div_ceil(FRAME)).unwrap_or(u32::MAX);
        self.data.set(self.data.get().saturating_add(frames));
    }

    /// Counts a response.
    pub(super) fn add_whole(&self) {
        self.whole.set(self.whole.get().saturating_add(1));
    }
}

impl Frames {
    /// Of a connection that begins; so many resets a second are allowed.
    pub(super) fn new(resets: u32, now: u64) -> Self {
        Self {
            head: [0; HEAD],
            have: 0,
            skip: PREFACE.len(),
            in_head: false,
            in_block: false,
            heads: 0,
            idle: Stock::new(IDLE.0, IDLE.1, now),
            resets: Stock::new(resets.saturating_mul(RESETS_SAVED), resets, now),
            is_over: false,
        }
    }

    /// Whether the client has sent more than it may.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// The number of a head that has come in part.
    pub(super) fn in_block(&self) -> Option<u64> {
        (self.in_block || (self.in_head && self.skip > 0)).then_some(self.heads)
    }

    /// Looks at what came.
    pub(super) fn saw(&mut self, mut bytes: &[u8], earned: &Earned, now: u64) {
        self.idle.fill(earned.data.take().saturating_mul(PER_FRAME), now);
        self.resets.fill(earned.whole.take(), now);
        while !bytes.is_empty() && !self.is_over {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            let taken = bytes.len().min(HEAD - self.have);
            let (head, rest) = bytes.split_at_checked(taken).unwrap_or_default();
            if let Some(place) = self.head.get_mut(self.have..self.have + taken) {
                place.copy_from_slice(head);
            }
            self.have += taken;
            bytes = rest;
            if self.have == HEAD {
                self.have = 0;
                self.frame();
            }
        }
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.head;
        self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.in_head = matches!(kind, HEADERS | CONTINUATION);
        let stock = match kind {
            HEADERS => {
                self.in_block = flags & END_HEADERS == 0;
                self.heads += 1;
                return self.idle.add(PER_FRAME);
            }
            DATA if self.skip > 0 || flags & END_STREAM != 0 => return self.idle.add(PER_FRAME),
            CONTINUATION => {
                self.in_block = flags & END_HEADERS == 0;
                &mut self.idle
            }
            RST_STREAM => &mut self.resets,
            _ => &mut self.idle,
        };
        self.is_over = !stock.take();
    }
}

/// So many are there, and so many come back a second.
#[derive(Debug)]
struct Stock {
    left: u32,
    most: u32,
    a_second: u32,
    /// Filled up to here, in ms.
    at: u64,
}

impl Stock {
    fn new(most: u32, a_second: u32, now: u64) -> Self {
        Self { left: most, most, a_second, at: now }
    }

    fn add(&mut self, n: u32) {
        self.left = self.left.saturating_add(n).min(self.most);
    }

    fn fill(&mut self, earned: u32, now: u64) {
        self.add(earned);
        let came = now.saturating_sub(self.at).saturating_mul(u64::from(self.a_second)) / 1_000;
        if came > 0 {
            // What is left of the time counts next time.
            self.at += came * 1_000 / u64::from(self.a_second);
            self.add(u32::try_from(came).unwrap_or(u32::MAX));
        }
    }

    fn take(&mut self) -> bool {
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PING: (u8, u8, usize) = (6, 0, 8);
    const RESET: (u8, u8, usize) = (RST_STREAM, 0, 4);

    fn frames(of: &[(u8, u8, usize)]) -> Vec<u8> {
        let frame = |&(kind, flags, len): &(u8, u8, usize)| {
            let mut bytes = vec![(len >> 16) as u8, (len >> 8) as u8, len as u8, kind, flags, 0, 0, 0, 1];
            bytes.extend(std::iter::repeat_n(0xff, len));
            bytes
        };
        of.iter().flat_map(frame).collect()
    }

    fn begun(resets: u32) -> (Frames, Earned) {
        let (mut frames, earned) = (Frames::new(resets, 0), Earned::default());
        frames.saw(PREFACE, &earned, 0);
        (frames, earned)
    }

    #[test]
    fn what_brings_nothing_is_allowed_at_a_rate() {
        let (mut seen, earned) = begun(10);
        seen.saw(&frames(&[PING; 1_000]), &earned, 0);
        assert!(!seen.is_over());
        seen.saw(&frames(&[PING; 100]), &earned, 1_000);
        assert!(!seen.is_over(), "time allows more");
        seen.saw(&frames(&[PING]), &earned, 1_000);
        assert!(seen.is_over());
    }

    #[test]
    fn pieces_of_any_size_are_the_same_frames() {
        let bytes = frames(&[(4, 0, 6), PING, (HEADERS, 0, 300), (CONTINUATION, END_HEADERS, 70_000), RESET]);
        for size in [1, 3, 9, 10, 1_000, bytes.len()] {
            let (mut seen, earned) = begun(10);
            bytes.chunks(size).for_each(|piece| seen.saw(piece, &earned, 0));
            assert_eq!((seen.idle.left, seen.resets.left), (1_000 - 3 + 2, 49), "{size}");
            assert_eq!((seen.in_block(), seen.skip), (None, 0));
        }
    }

    #[test]
    fn resets_are_allowed_at_a_rate_and_by_what_ended_well() {
        let (mut seen, earned) = begun(10);
        seen.saw(&frames(&[RESET; 50]), &earned, 0);
        assert!(!seen.is_over());
        earned.whole.set(30);
        seen.saw(&frames(&[RESET; 30]), &earned, 0);
        assert!(!seen.is_over());
        seen.saw(&frames(&[RESET]), &earned, 0);
        assert!(seen.is_over());
    }

    #[test]
    fn time_is_counted_in_whole_however_often_somebody_looks() {
        let (mut seen, earned) = begun(30);
        seen.saw(&frames(&[RESET; 150]), &earned, 0);
        for ms in 1..=1_000 {
            seen.saw(&frames(&[(4, 0, 0)][..0]), &earned, ms);
        }
        assert_eq!((seen.resets.left, seen.is_over()), (30, false), "30 a second");
    }

    #[test]
    fn a_large_piece_counts_as_the_frames_that_it_goes_out_in() {
        let earned = Earned::default();
        for bytes in [1, 16_384, 16_385, 65_536] {
            earned.add_data(bytes);
        }
        assert_eq!(earned.data.get(), 1 + 1 + 2 + 4);
    }

    #[test]
    fn every_frame_that_brings_something_allows_some_that_do_not() {
        let update = (8, 0, 4);
        let (mut seen, earned) = begun(10);
        for _ in 0..1_000 {
            earned.data.set(1);
            seen.saw(&frames(&[update, update, PING]), &earned, 0);
            seen.saw(&frames(&[(DATA, 0, 1), PING, update, update]), &earned, 0);
        }
        assert!(!seen.is_over());
        seen.saw(&frames(&[(DATA, 0, 0); 1_001]), &earned, 0);
        assert!(seen.is_over(), "data without data bring nothing");
    }

    #[test]
    fn a_head_that_has_not_ended_is_known() {
        let (mut seen, earned) = begun(10);
        seen.saw(&frames(&[(HEADERS, 0, 5)]), &earned, 0);
        assert_eq!(seen.in_block(), Some(1));
        seen.saw(&frames(&[(CONTINUATION, END_HEADERS, 5)]), &earned, 0);
        assert_eq!(seen.in_block(), None);
        let in_part = &frames(&[(HEADERS, END_HEADERS, 5)])[..12];
        seen.saw(in_part, &earned, 0);
        assert_eq!(seen.in_block(), Some(2));
    }
}
