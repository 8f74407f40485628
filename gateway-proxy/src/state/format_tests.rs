use super::*;

fn resource(name: &str, version: i64) -> Resource {
    Resource { name: name.into(), version, spec: None, candidate: None }
}

fn change(to: i64, upserts: Vec<Resource>, removes: &[&str], resumable: bool) -> Change {
    let mut change = Change::to(ResumeToken { store_id: "0190-store".into(), revision: to });
    removes.iter().for_each(|name| change.remove((*name).to_owned()));
    upserts.iter().for_each(|resource| change.put(resource));
    Change { resumable, ..change }
}

fn image() -> Image {
    let mut image = Image::default();
    let resources = (0..20).map(|n| resource(&format!("routes/r{n}"), n)).collect();
    image.apply(change(19, resources, &[], true));
    image
}

fn all(image: &Image) -> (ResumeToken, bool, Vec<(String, i64)>) {
    let mut all: Vec<_> = image.resources().map(|r| (r.name, r.version)).collect();
    all.sort();
    (image.at.clone(), image.resumable, all)
}

/// A checkpoint, a journal of three records behind it, and what each of its records leads to.
fn generation() -> (Vec<u8>, Vec<u8>, Vec<Image>, Vec<usize>) {
    let mut image = image();
    let (checkpoint, checksum) = checkpoint(&image);
    let mut journal = journal_header(&checksum);
    let (mut states, mut ends) = (vec![image.clone()], vec![journal.len()]);
    for (to, upserts, removes, resumable) in [
        (20, vec![resource("routes/r3", 20)], &["routes/r4"][..], true),
        (25, vec![resource("pools/p", 23)], &[], false),
        (26, vec![], &[], true),
    ] {
        let step = change(to, upserts, removes, resumable);
        journal.extend(record(&image, &step));
        image.apply(step);
        states.push(image.clone());
        ends.push(journal.len());
    }
    (checkpoint, journal, states, ends)
}

#[test]
fn what_is_written_is_read_back() {
    let (checkpoint, journal, states, _) = generation();
    let (mut image, checksum) = read_checkpoint(&checkpoint).expect("whole");
    assert_eq!(all(&image), all(&states[0]));
    let Replayed { records, length, rest } = replay(&mut image, &checksum, &journal);
    assert_eq!((records, length, rest.is_ok()), (3, journal.len(), true));
    assert_eq!(all(&image), all(&states[3]));
    assert_eq!(image.digest(), states[3].digest());
}

#[test]
fn an_empty_configuration_is_one_too() {
    let (bytes, _) = checkpoint(&Image::default());
    assert_eq!(read_checkpoint(&bytes).expect("whole").0.len(), 0);
}

#[test]
fn a_checkpoint_cut_at_any_place_is_cut_short() {
    let (checkpoint, ..) = generation();
    for end in 0..checkpoint.len() {
        let fault = read_checkpoint(&checkpoint[..end]).expect_err("cut");
        assert!(matches!(fault, Fault::Short), "{end}: {fault}");
    }
}

#[test]
fn a_checkpoint_with_any_byte_altered_is_not_used() {
    let (mut checkpoint, ..) = generation();
    for at in 0..checkpoint.len() {
        checkpoint[at] ^= 0x20;
        assert!(read_checkpoint(&checkpoint).is_err(), "byte {at}");
        checkpoint[at] ^= 0x20;
    }
    checkpoint.push(0);
    assert!(matches!(read_checkpoint(&checkpoint), Err(Fault::Checksum)), "something behind it");
}

#[test]
fn files_of_others_are_told_apart() {
    let (mut checkpoint, ..) = generation();
    let fault = |bytes: &[u8]| read_checkpoint(bytes).expect_err("no checkpoint").to_string();
    assert_eq!(fault(b"SQLite format 3\0"), "it is no state of a gateway");
    checkpoint[8] = 2;
    assert_eq!(fault(&checkpoint), "its format is 2, and this build knows 1");
}

#[test]
fn a_checkpoint_whose_digest_is_wrong_is_not_used_even_if_its_checksum_is_right() {
    let (mut bytes, ..) = generation();
    let digest_at = 8 + 4 + 4 + 8 + 8 + 8;
    bytes[digest_at] ^= 1;
    let store = digest_at + 32;
    let place = store + 4 + u32::from_le_bytes([bytes[store], bytes[store + 1], 0, 0]) as usize;
    let checksum = sha256(&[&bytes[..place], &bytes[place + 32..]]);
    bytes[place..place + 32].copy_from_slice(&checksum);
    assert!(matches!(read_checkpoint(&bytes), Err(Fault::Digest)));
}

#[test]
fn a_journal_cut_at_any_place_counts_up_to_its_last_whole_record() {
    let (checkpoint, journal, states, ends) = generation();
    let (begin, checksum) = read_checkpoint(&checkpoint).expect("whole");
    for end in 0..=journal.len() {
        let mut image = begin.clone();
        let Replayed { records, length, rest } = replay(&mut image, &checksum, &journal[..end]);
        let whole = ends.iter().filter(|e| **e <= end).count().saturating_sub(1);
        assert_eq!(length, ends.iter().copied().filter(|e| *e <= end).max().unwrap_or(0), "cut at {end}");
        assert_eq!((records, all(&image)), (whole, all(&states[whole])), "cut at {end}");
        assert_eq!(rest.is_ok(), ends.contains(&end), "cut at {end}");
    }
}

#[test]
fn nothing_counts_from_an_altered_byte_on() {
    let (checkpoint, mut journal, states, ends) = generation();
    let (begin, checksum) = read_checkpoint(&checkpoint).expect("whole");
    for at in 0..journal.len() {
        journal[at] ^= 0x20;
        let mut image = begin.clone();
        let Replayed { records, rest, .. } = replay(&mut image, &checksum, &journal);
        let before = ends.iter().filter(|e| **e <= at).count().saturating_sub(1);
        assert_eq!((records, all(&image)), (before, all(&states[before])), "byte {at}");
        assert!(rest.is_err(), "byte {at}");
        journal[at] ^= 0x20;
    }
}

#[test]
fn a_journal_of_another_checkpoint_or_out_of_order_does_not_count() {
    let (checkpoint_bytes, journal, states, ends) = generation();
    let (begin, checksum) = read_checkpoint(&checkpoint_bytes).expect("whole");
    let mut image = begin.clone();
    let (_, other) = checkpoint(&states[3]);
    let Replayed { records, rest, .. } = replay(&mut image, &other, &journal);
    assert!(records == 0 && matches!(rest, Err(Fault::OtherCheckpoint)));
    // Its first record is missing.
    let gap = [&journal[..ends[0]], &journal[ends[1]..]].concat();
    let Replayed { records, rest, .. } = replay(&mut image, &checksum, &gap);
    assert!(records == 0 && matches!(rest, Err(Fault::Order)));
    // As if something had been lost before it.
    let mut other = begin.clone();
    other.apply(change(19, vec![resource("pools/x", 19)], &[], true));
    let wrong = record(&other, &change(20, vec![], &[], true));
    let Replayed { records, rest, .. } =
        replay(&mut image, &checksum, &[&journal[..ends[0]], &wrong].concat());
    assert!(records == 0 && matches!(rest, Err(Fault::Digest)));
    assert_eq!(all(&image), all(&begin), "nothing of it was carried out");
}
