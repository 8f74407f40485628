use proptest::prelude::*;

use super::*;

/// The data, whether the body ended, and what was left over, of bytes that come in pieces of so many.
fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, bool, usize), BadChunk> {
    let mut decoder = Decoder::default();
    let (mut data, mut used) = (Vec::new(), 0);
    for piece in bytes.chunks(piece.max(1)) {
        let mut piece = piece.to_vec();
        let taken = decoder.take(&mut piece)?;
        data.extend_from_slice(&piece[taken.from..taken.to]);
        used += taken.used;
        if taken.ended {
            break;
        }
        assert_eq!(taken.used, piece.len(), "all is taken before the end");
    }
    Ok((data, decoder.is_over(), bytes.len() - used))
}

#[test]
fn chunks_are_put_together_wherever_they_are_cut() {
    let body = b"5\r\nhello\r\n1;a=\"b\"\r\n \r\n00a\r\n0123456789\r\n0\r\nx: 1\r\n\r\nGET";
    for piece in 1..body.len() {
        assert_eq!(read(body, piece), Ok((b"hello 0123456789".to_vec(), true, 3)), "{piece}");
    }
}

#[test]
fn trailers_are_kept_as_they_came() {
    let mut decoder = Decoder::default();
    let taken = decoder.take(&mut b"0\r\na: 1\r\nb: 2\r\n\r\n".to_vec()).expect("sound");
    assert!(taken.ended && decoder.trailers() == b"a: 1\r\nb: 2\r\n\r\n");
    let mut decoder = Decoder::default();
    assert!(decoder.take(&mut b"0\r\n\r\n".to_vec()).expect("sound").ended && decoder.trailers().is_empty());
}

#[test]
fn what_two_parties_could_read_in_two_ways_is_refused() {
    for bad in [
        "\r\n",
        ";a\r\n",
        " 5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "5\t;a\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-5\r\nhello\r\n",
        "5_0\r\n",
        "g\r\n",
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\nhello\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloX\r\n",
        "5\r\nhello\r0",
        "5;a\nb\r\nhello\r\n",
        "5;a\0\r\nhello\r\n",
        "5;\r\r\nhello\r\n",
        "10000000000000000\r\n",
        "00000000000000005\r\nhello\r\n",
        "0\r\n\n",
        "0\r\n\r\r",
        "0\n\r\n",
    ] {
        assert_eq!(read(bad.as_bytes(), 3), Err(BadChunk), "{bad:?}");
    }
}

#[test]
fn what_stands_beside_the_data_is_bounded() {
    let extension = format!("5;{}", "a".repeat(MAX_EXTENSIONS + 1));
    assert_eq!(read(extension.as_bytes(), 1_000), Err(BadChunk));
    let trailers = format!("0\r\n{}", "a: 1\r\n".repeat(MAX_TRAILERS));
    assert_eq!(read(trailers.as_bytes(), 1_000), Err(BadChunk));
}

proptest! {
    #[test]
    fn any_body_comes_out_as_it_went_in(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..20),
        piece in 1usize..500,
        rest in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut coded = Vec::new();
        for chunk in &chunks {
            coded.extend_from_slice(format!("{:X}\r\n", chunk.len()).as_bytes());
            coded.extend_from_slice(chunk);
            coded.extend_from_slice(b"\r\n");
        }
        coded.extend_from_slice(b"0\r\n\r\n");
        coded.extend_from_slice(&rest);
        prop_assert_eq!(read(&coded, piece), Ok((chunks.concat(), true, rest.len())));
    }

    #[test]
    fn where_bytes_are_cut_does_not_change_what_they_mean(
        bytes in prop::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'3'), Just(b';'), any::<u8>()], 0..100),
        piece in 1usize..20,
    ) {
        prop_assert_eq!(read(&bytes, piece), read(&bytes, bytes.len().max(1)));
    }
}
