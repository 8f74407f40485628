//! A body that is compressed, piece by piece.

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::write::GzEncoder;
use hotswap_matcher::ContentCoding;

/// What a coding does where nothing is said of it: fast enough to be done for every answer anew.
const GZIP: u8 = 5;
const BROTLI: u8 = 4;
const ZSTD: u8 = 3;
/// How far back brotli and zstd look, as a power of two of bytes. It bounds their memory; gzip has 32 KiB.
const BROTLI_WINDOW: u32 = 18;
const ZSTD_WINDOW: u32 = 19;
/// What brotli gathers before it hands it on, in bytes.
const BROTLI_BUFFER: usize = 4_096;

/// A body that is compressed.
pub struct Encoder {
    inner: Inner,
    /// Something came since it was flushed.
    holds: bool,
}

enum Inner {
    Gzip(GzEncoder<Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    /// A body that begins; `quality`: 1, fastest, to 9, smallest.
    ///
    /// # Errors
    /// Where there is no memory for it.
    pub fn new(coding: ContentCoding, quality: Option<u8>) -> io::Result<Self> {
        let level = |usual: u8| quality.unwrap_or(usual);
        let inner = match coding {
            ContentCoding::Gzip => {
                let level = flate2::Compression::new(u32::from(level(GZIP)));
                Inner::Gzip(GzEncoder::new(Vec::new(), level))
            }
            ContentCoding::Brotli => {
                let level = u32::from(level(BROTLI));
                let writer = CompressorWriter::new(Vec::new(), BROTLI_BUFFER, level, BROTLI_WINDOW);
                Inner::Brotli(Box::new(writer))
            }
            ContentCoding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), i32::from(level(ZSTD)))?;
                encoder.window_log(ZSTD_WINDOW)?;
                Inner::Zstd(encoder)
            }
        };
        Ok(Self { inner, holds: false })
    }

    /// Whether what came has not gone out whole.
    pub fn holds(&self) -> bool {
        self.holds
    }

    /// Takes a piece; what is ready goes behind what `out` has.
    ///
    /// # Errors
    /// Where the encoder fails.
    pub fn take(&mut self, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        self.holds |= !data.is_empty();
        self.with(out, |writer| writer.write_all(data))
    }

    /// Lets everything out that came, so that who reads it has it all.
    ///
    /// # Errors
    /// Where the encoder fails.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        self.holds = false;
        self.with(out, |writer| writer.flush())
    }

    /// The body is over.
    ///
    /// # Errors
    /// Where the encoder fails.
    pub fn end(mut self, out: &mut Vec<u8>) -> io::Result<()> {
        std::mem::swap(self.held(), out);
        *out = match self.inner {
            Inner::Gzip(writer) => writer.finish()?,
            Inner::Brotli(writer) => writer.into_inner(),
            Inner::Zstd(writer) => writer.finish()?,
        };
        Ok(())
    }

    fn with(
        &mut self,
        out: &mut Vec<u8>,
        act: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        std::mem::swap(self.held(), out);
        let acted = match &mut self.inner {
            Inner::Gzip(writer) => act(writer),
            Inner::Brotli(writer) => act(&mut **writer),
            Inner::Zstd(writer) => act(writer),
        };
        std::mem::swap(self.held(), out);
        acted
    }

    fn held(&mut self) -> &mut Vec<u8> {
        match &mut self.inner {
            Inner::Gzip(writer) => writer.get_mut(),
            Inner::Brotli(writer) => writer.get_mut(),
            Inner::Zstd(writer) => writer.get_mut(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn decoded(coding: ContentCoding, bytes: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        // A stream that has not ended is an error behind what could be read.
        let _ = match coding {
            ContentCoding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut plain),
            ContentCoding::Brotli => brotli::Decompressor::new(bytes, 4_096).read_to_end(&mut plain),
            ContentCoding::Zstd => {
                zstd::stream::read::Decoder::new(bytes).expect("a decoder").read_to_end(&mut plain)
            }
        };
        plain
    }

    #[test]
    fn what_comes_out_is_what_went_in_whatever_the_pieces() {
        let text: Vec<u8> = (0..300_000_u32).map(|n| b"abc defg\n"[(n % 97 % 9) as usize]).collect();
        for coding in ContentCoding::ALL {
            for quality in [None, Some(1), Some(9)] {
                for size in [1_000, 65_536, text.len()] {
                    let (mut encoder, mut out) = (Encoder::new(coding, quality).expect("begins"), Vec::new());
                    for piece in text.chunks(size) {
                        encoder.take(piece, &mut out).expect("takes");
                    }
                    encoder.end(&mut out).expect("ends");
                    assert!(out.len() < text.len() / 10, "{coding:?}");
                    assert_eq!(decoded(coding, &out), text, "{coding:?} {quality:?} {size}");
                }
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_read() {
        for coding in ContentCoding::ALL {
            let (mut encoder, mut out) = (Encoder::new(coding, None).expect("begins"), b"head".to_vec());
            for (i, event) in ["one", "two", "three"].iter().enumerate() {
                encoder.take(event.as_bytes(), &mut out).expect("takes");
                assert!(encoder.holds());
                encoder.flush(&mut out).expect("flushes");
                let want = ["one", "onetwo", "onetwothree"][i];
                assert_eq!(decoded(coding, &out[4..]), want.as_bytes(), "{coding:?}");
            }
            assert!(out.starts_with(b"head") && !encoder.holds());
        }
    }
}
