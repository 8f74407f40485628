use super::*;

fn piped(framing: Framing, coding: Coding, trailers: Option<&str>, bytes: &[u8]) -> (String, bool) {
    let mut pipe = Pipe::new(framing, coding, trailers.map(|t| t.as_bytes().into()));
    let (mut bytes, mut around) = (bytes.to_vec(), Around::default());
    let taken = pipe.pass(&mut bytes, &mut around).expect("sound");
    let out = [&around.before[..], &bytes[taken.from..taken.to], &around.behind].concat();
    (String::from_utf8(out).expect("text"), pipe.is_over())
}

#[test]
fn a_body_leaves_in_the_coding_that_is_asked_for() {
    let chunked = b"3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n";
    let is = |text: &str, over| (text.to_owned(), over);
    assert_eq!(piped(Framing::Length(5), Coding::Plain, None, b"helloGET"), is("hello", true));
    assert_eq!(piped(Framing::Length(6), Coding::Plain, None, b"hello"), is("hello", false));
    assert_eq!(piped(Framing::Chunked, Coding::Plain, None, chunked), is("hello", true));
    assert_eq!(piped(Framing::Chunked, Coding::Chunked, None, chunked), is("5\r\nhello\r\n0\r\n\r\n", true));
    assert_eq!(piped(Framing::UntilClose, Coding::Chunked, None, b"hello"), is("5\r\nhello\r\n", false));
    assert_eq!(piped(Framing::UntilClose, Coding::Plain, None, b"hello"), is("hello", false));
    assert_eq!(piped(Framing::None, Coding::Plain, None, b"GET"), is("", true));
}

#[test]
fn the_end_of_the_connection_ends_one_framing_alone() {
    let ended = |framing, coding| {
        let (mut pipe, mut around) = (Pipe::new(framing, coding, None), Around::default());
        pipe.peer_ended(&mut around).then_some(around.behind)
    };
    assert_eq!(ended(Framing::UntilClose, Coding::Chunked), Some(b"0\r\n\r\n".to_vec()));
    assert_eq!(ended(Framing::UntilClose, Coding::Plain), Some(Vec::new()));
    assert_eq!(ended(Framing::Length(1), Coding::Plain), None);
    assert_eq!(ended(Framing::Chunked, Coding::Chunked), None);
}

#[test]
fn trailers_go_on_if_they_were_announced_and_change_nothing_that_stands_in_heads() {
    let body = b"0\r\nX-Sum: 1\r\nx-other: 2\r\ncontent-length: 3\r\n\r\n";
    let out = piped(Framing::Chunked, Coding::Chunked, Some("x-sum, content-length"), body);
    assert_eq!(out, ("0\r\nx-sum: 1\r\n\r\n".to_owned(), true));
    assert_eq!(piped(Framing::Chunked, Coding::Chunked, None, body).0, "0\r\n\r\n");
    assert_eq!(piped(Framing::Chunked, Coding::Plain, Some("x-sum"), body).0, "");
}

#[test]
fn broken_trailers_break_the_body() {
    for lines in ["x : 1\r\n", "x: 1\r\n y\r\n", "x\r\n", "x: 1\n", "x: \0\r\n", ": 1\r\n"] {
        let mut pipe = Pipe::new(Framing::Chunked, Coding::Chunked, None);
        let mut body = format!("0\r\n{lines}\r\n").into_bytes();
        assert_eq!(pipe.pass(&mut body, &mut Around::default()), Err(BadChunk), "{lines:?}");
    }
}

#[test]
fn an_end_that_is_told_brings_the_trailers_that_were_announced() {
    let mut fields = Head::default();
    for (name, value) in [("x-sum", "7"), ("x-other", "8"), ("host", "h")] {
        fields.push(name, value.as_bytes());
    }
    let ended = |framing, coding| {
        let mut pipe = Pipe::new(framing, coding, Some(b"x-sum, host"[..].into()));
        let mut around = Around::default();
        (pipe.told_end(&fields, &mut around), String::from_utf8(around.behind).expect("text"))
    };
    assert_eq!(ended(Framing::UntilClose, Coding::Chunked), (true, "0\r\nx-sum: 7\r\n\r\n".into()));
    assert_eq!(ended(Framing::UntilClose, Coding::Told), (true, "x-sum: 7\r\n\r\n".into()));
    assert_eq!(ended(Framing::None, Coding::Plain), (true, String::new()));
    assert_eq!(ended(Framing::Length(1), Coding::Plain), (false, String::new()));
}

#[test]
fn what_is_not_announced_passes_where_that_is_not_asked_and_changes_nothing_that_stands_in_heads() {
    let mut fields = Head::default();
    for (name, value) in [("grpc-status", "0"), ("host", "h"), ("content-length", "1"), ("x-user", "root")] {
        fields.push(name, value.as_bytes());
    }
    let mut around = Around::default();
    let mut pipe = Pipe::new(Framing::UntilClose, Coding::Told, None)
        .with_any_trailer_but(b"X-Other, X-User"[..].into());
    assert!(pipe.told_end(&fields, &mut around));
    assert_eq!(around.behind, b"grpc-status: 0\r\n\r\n");
}

#[test]
fn a_bare_body_passes_uncopied_as_it_does_else() {
    let framings =
        [Framing::None, Framing::Length(7), Framing::Length(20), Framing::Chunked, Framing::UntilClose];
    for (framing, coding) in framings
        .into_iter()
        .flat_map(|framing| [Coding::Plain, Coding::Chunked, Coding::Told].map(|coding| (framing, coding)))
    {
        let mut bare = Pipe::new(framing, coding, None);
        let mut other = Pipe::new(framing, coding, None);
        let may = coding != Coding::Chunked && !matches!(framing, Framing::None | Framing::Chunked);
        assert_eq!(bare.is_bare(), may, "{framing:?} as {coding:?}");
        for piece in [3, 4, 0, 5] {
            let (mut around, mut others) = (Around::default(), Around::default());
            if !bare.is_bare() {
                assert_eq!(bare.pass_bare(piece, &mut around), Ok(Taken::default()));
                continue;
            }
            let taken = bare.pass_bare(piece, &mut around);
            assert_eq!(taken, other.pass(&mut vec![b'x'; piece], &mut others), "{framing:?}");
            assert_eq!((around.before, around.behind), (others.before, others.behind));
            assert_eq!(bare.is_over(), other.is_over());
        }
    }
}
