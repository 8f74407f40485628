//! The chunked coding, read strictly and in place.

/// Bytes of chunk extensions in one body, at most: nobody uses them, and they are not passed on.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// Bytes of trailers, at most.
const MAX_TRAILERS: usize = 16 * 1024;
/// Digits of a chunk's size, at most.
const MAX_DIGITS: u8 = 16;

/// The coding is broken, or has more besides the body than is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadChunk;

/// Reads a body in chunks.
#[derive(Debug, Default)]
pub struct Decoder {
    place: Place,
    /// Of a chunk's size while it is read; then what is left of the chunk.
    left: u64,
    digits: u8,
    extensions: usize,
    /// The lines behind the last chunk, with the empty one.
    trailers: Vec<u8>,
}

/// What a look at some bytes came to. The data that were in them now stand together in `bytes[from..to]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Bytes that belong to the body, or to its coding.
    pub used: usize,
    /// Where the data begin.
    pub from: usize,
    /// Where they end.
    pub to: usize,
    /// The body is over.
    pub ended: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Size,
    /// Behind the size.
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// At the beginning of a line behind the last chunk.
    Line,
    /// Within such a line.
    Trailer,
    EndLf,
    Over,
}

impl Decoder {
    /// The lines behind the last chunk, with the empty one; none: only that one came.
    pub fn trailers(&self) -> &[u8] {
        if self.trailers.len() > 2 { &self.trailers } else { &[] }
    }

    /// Whether the body is over.
    pub fn is_over(&self) -> bool {
        self.place == Place::Over
    }

    /// Reads on. Data of later chunks are moved up to those of the first, over the coding between them.
    ///
    /// # Errors
    /// Where the coding is broken.
    pub fn take(&mut self, bytes: &mut [u8]) -> Result<Taken, BadChunk> {
        let mut taken = Taken::default();
        let mut first = true;
        while let Some(byte) = bytes.get(taken.used).copied() {
            if self.place == Place::Over {
                break;
            }
            if self.place != Place::Data {
                taken.used += 1;
                self.step(byte)?;
                continue;
            }
            let here = bytes.len() - taken.used;
            let len = usize::try_from(self.left).map_or(here, |left| left.min(here));
            if first {
                (taken.from, taken.to, first) = (taken.used, taken.used, false);
            }
            bytes.copy_within(taken.used..taken.used + len, taken.to);
            taken.to += len;
            taken.used += len;
            self.left -= len as u64;
            if self.left == 0 {
                self.place = Place::DataCr;
            }
        }
        taken.ended = self.is_over();
        Ok(taken)
    }

    /// One byte of the coding.
    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        self.place = match (self.place, byte) {
            (Place::Size, b';') if self.digits > 0 => Place::Extension,
            (Place::Size, b'\r') if self.digits > 0 => Place::SizeLf,
            (Place::Size, digit) => self.digit(digit)?,
            (Place::Extension, b'\r') => Place::SizeLf,
            (Place::Extension, byte) => self.extension(byte)?,
            (Place::SizeLf, b'\n') if self.left == 0 => Place::Line,
            (Place::SizeLf, b'\n') => Place::Data,
            (Place::DataCr, b'\r') => Place::DataLf,
            (Place::DataLf, b'\n') => {
                self.digits = 0;
                Place::Size
            }
            (Place::Line, b'\r') => self.keep(byte, Place::EndLf)?,
            (Place::Line, b'\n') => return Err(BadChunk),
            (Place::Trailer, b'\n') => self.keep(byte, Place::Line)?,
            (Place::Line | Place::Trailer, _) => self.keep(byte, Place::Trailer)?,
            (Place::EndLf, b'\n') => self.keep(byte, Place::Over)?,
            (Place::SizeLf | Place::DataCr | Place::DataLf | Place::EndLf | Place::Data | Place::Over, _) => {
                return Err(BadChunk);
            }
        };
        Ok(())
    }

    fn digit(&mut self, byte: u8) -> Result<Place, BadChunk> {
        let digit = char::from(byte).to_digit(16).ok_or(BadChunk)?;
        self.digits += 1;
        if self.digits > MAX_DIGITS {
            return Err(BadChunk);
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(Place::Size)
    }

    fn extension(&mut self, byte: u8) -> Result<Place, BadChunk> {
        self.extensions += 1;
        let text = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
        if text && self.extensions <= MAX_EXTENSIONS { Ok(Place::Extension) } else { Err(BadChunk) }
    }

    fn keep(&mut self, byte: u8, next: Place) -> Result<Place, BadChunk> {
        if self.trailers.len() == MAX_TRAILERS {
            return Err(BadChunk);
        }
        if next == Place::EndLf && self.trailers.is_empty() {
            // The usual end: nothing is kept, and no memory asked for.
            return Ok(next);
        }
        if next != Place::Over || !self.trailers.is_empty() {
            self.trailers.push(byte);
        }
        Ok(next)
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
