//! A case: bytes, and how they come. The first byte decides on the pieces, so that all others can be read.

/// Bytes that come in pieces.
pub(crate) struct Case<'a> {
    pub(crate) bytes: &'a [u8],
    seed: u8,
}

impl<'a> Case<'a> {
    /// `None`: there is not even a first byte.
    pub(crate) fn of(data: &'a [u8]) -> Option<Self> {
        let (seed, bytes) = data.split_first()?;
        Some(Self { bytes, seed: *seed })
    }

    /// "0" and every fourth byte: all at once. "1": byte by byte. The others: pieces of many lengths.
    pub(crate) fn pieces(&self) -> Vec<&'a [u8]> {
        match self.seed % 4 {
            0 => vec![self.bytes],
            1 => self.bytes.chunks(1).collect(),
            _ => self.odd_pieces(),
        }
    }

    fn odd_pieces(&self) -> Vec<&'a [u8]> {
        let most = usize::from(self.seed / 4) + 2;
        let (mut state, mut rest, mut pieces) = (u32::from(self.seed) | 0x100, self.bytes, Vec::new());
        while !rest.is_empty() {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            let len = (state as usize % most + 1).min(rest.len());
            let (piece, behind) = rest.split_at(len);
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}

/// Bytes as text that can be read in a report.
pub(crate) fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_the_whole() {
        let bytes: Vec<u8> = (0..=255).collect();
        for seed in 0..=255 {
            let data = [&[seed], &bytes[..]].concat();
            let case = Case::of(&data).expect("a case");
            assert_eq!(case.pieces().concat(), bytes, "{seed}");
        }
    }
}
