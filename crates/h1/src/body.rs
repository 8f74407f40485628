//! A body on its way through: read in one framing, written in another or the same.

use super::Head;
use super::chunked::{BadChunk, Decoder, Taken};
use super::framing::Framing;
use super::read;
use super::write::Coding;

/// Fields behind a body, at most.
const MAX_TRAILERS: usize = 100;

/// Reads a body.
#[derive(Debug, Default)]
pub enum Reader {
    /// It is over, or there is none.
    #[default]
    Over,
    /// So many bytes are to come.
    Length(u64),
    /// It comes in chunks.
    Chunked(Decoder),
    /// It ends with the connection.
    UntilClose,
}

/// What is written around a piece of a body.
#[derive(Debug, Default)]
pub struct Around {
    /// Before it; a head may stand here already.
    pub before: Vec<u8>,
    /// Behind it.
    pub behind: Vec<u8>,
}

/// A body on its way.
#[derive(Debug, Default)]
pub struct Pipe {
    reader: Reader,
    coding: Coding,
    trailers: Trailers,
}

/// The trailers that may go on; names stand in a list, as in Trailer.
#[derive(Debug, Default)]
enum Trailers {
    #[default]
    None,
    /// These may.
    Named(Box<[u8]>),
    /// All but these may.
    AllBut(Box<[u8]>),
}

impl Reader {
    fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, BadChunk> {
        match self {
            Self::Chunked(decoder) => decoder.take(bytes),
            bare => Ok(bare.take_bare(bytes.len())),
        }
    }

    /// Takes from the front of so many bytes that stand in no chunks.
    fn take_bare(&mut self, came: usize) -> Taken {
        let (used, ended) = match self {
            Self::Over | Self::Chunked(_) => (0, true),
            Self::UntilClose => (came, false),
            Self::Length(left) => {
                let used = usize::try_from(*left).map_or(came, |left| left.min(came));
                *left -= used as u64;
                (used, *left == 0)
            }
        };
        Taken { used, from: 0, to: used, ended }
    }
}

impl Around {
    /// Empties it.
    pub fn clear(&mut self) {
        self.before.clear();
        self.behind.clear();
    }
}

impl Pipe {
    /// A body that comes in one framing and goes out in a coding.
    pub fn new(framing: Framing, coding: Coding, trailers: Option<Box<[u8]>>) -> Self {
        let reader = match framing {
            Framing::None => Reader::Over,
            Framing::Length(length) => Reader::Length(length),
            Framing::Chunked => Reader::Chunked(Decoder::default()),
            Framing::UntilClose => Reader::UntilClose,
        };
        Self { reader, coding, trailers: trailers.map_or(Trailers::None, Trailers::Named) }
    }

    /// Lets every trailer go on that may stand behind a body, but none of these: HTTP/2 does not announce them.
    pub fn with_any_trailer_but(self, these: Box<[u8]>) -> Self {
        Self { trailers: Trailers::AllBut(these), ..self }
    }

    /// Whether the body is over.
    pub fn is_over(&self) -> bool {
        matches!(self.reader, Reader::Over)
    }

    /// Takes what belongs to the body from the front of `bytes`, and writes what must stand around its data.
    ///
    /// # Errors
    /// Where the body is broken.
    pub fn pass(&mut self, bytes: &mut [u8], around: &mut Around) -> Result<Taken, BadChunk> {
        if self.is_over() {
            return Ok(Taken { ended: true, ..Taken::default() });
        }
        let taken = self.reader.take(bytes)?;
        let len = taken.to - taken.from;
        self.coding.open(len, &mut around.before);
        self.coding.close(len, &mut around.behind);
        if taken.ended {
            self.end(around)?;
        }
        Ok(taken)
    }

    /// Whether what comes goes on as it is: nothing but data stands in it, and nothing around it. A body that is over is
    /// no such one.
    pub fn is_bare(&self) -> bool {
        matches!(self.reader, Reader::Length(_) | Reader::UntilClose) && self.coding != Coding::Chunked
    }

    /// Whether it is bare, and as long as whoever sends it makes it.
    pub fn is_open(&self) -> bool {
        matches!(self.reader, Reader::UntilClose) && self.coding != Coding::Chunked
    }

    /// As [`Pipe::pass`], for so many bytes of a body that [`Pipe::is_bare`]; of another it takes none.
    ///
    /// # Errors
    /// Where the body is broken.
    pub fn pass_bare(&mut self, came: usize, around: &mut Around) -> Result<Taken, BadChunk> {
        if !self.is_bare() {
            return Ok(Taken::default());
        }
        let taken = self.reader.take_bare(came);
        if taken.ended {
            self.end(around)?;
        }
        Ok(taken)
    }

    /// How many bytes are to come that go on as they are, with nothing around them; `None`: not known, or not so.
    pub fn plain_left(&self) -> Option<u64> {
        match (&self.reader, self.coding) {
            (Reader::Length(left), Coding::Plain) => Some(*left),
            _ => None,
        }
    }

    /// So many of the bytes that [`Pipe::plain_left`] tells have gone on by another way.
    pub fn went_on(&mut self, bytes: u64) {
        if let Reader::Length(left) = &mut self.reader {
            *left = left.saturating_sub(bytes);
            if *left == 0 {
                self.reader = Reader::Over;
            }
        }
    }

    /// The peer has ended its connection. Whether that is where the body ends.
    pub fn peer_ended(&mut self, around: &mut Around) -> bool {
        let ends = matches!(self.reader, Reader::UntilClose);
        ends && self.end(around).is_ok()
    }

    /// The peer has told, beside the body, that it is over, and which fields follow it. Whether that is where the body
    /// ends.
    pub fn told_end(&mut self, fields: &Head, around: &mut Around) -> bool {
        if !matches!(self.reader, Reader::UntilClose) {
            return self.is_over();
        }
        let mut written = Vec::new();
        self.write_trailers(fields, &mut written);
        self.coding.end(&written, &mut around.behind);
        self.reader = Reader::Over;
        true
    }

    fn end(&mut self, around: &mut Around) -> Result<(), BadChunk> {
        let lines = match &self.reader {
            Reader::Chunked(decoder) => decoder.trailers(),
            Reader::Over | Reader::Length(_) | Reader::UntilClose => &[],
        };
        let mut written = Vec::new();
        if !lines.is_empty() {
            let mut fields = Head::default();
            read::trailers(lines, MAX_TRAILERS, &mut fields).map_err(|_| BadChunk)?;
            self.write_trailers(&fields, &mut written);
        }
        self.coding.end(&written, &mut around.behind);
        self.reader = Reader::Over;
        Ok(())
    }

    fn write_trailers(&self, fields: &Head, out: &mut Vec<u8>) {
        match &self.trailers {
            Trailers::None => {}
            Trailers::Named(names) => fields.write_trailers(|name| lists(names, name), out),
            Trailers::AllBut(names) => fields.write_trailers(|name| !lists(names, name), out),
        }
    }
}

/// Whether a list of names, as in Trailer, has this one, which is in lower case.
fn lists(names: &[u8], name: &[u8]) -> bool {
    names.split(|b| *b == b',').any(|listed| listed.trim_ascii().eq_ignore_ascii_case(name))
}

#[cfg(test)]
#[path = "body_tests.rs"]
mod tests;
