//! Cases in a file, one a line: a JSON string whose characters, up to U+00FF, are its bytes. libFuzzer wants each in a
//! file of its own.

use std::collections::BTreeSet;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Context, Result};

/// A case as a line.
pub(super) fn line(case: &[u8]) -> Result<String> {
    let text: String = case.iter().copied().map(char::from).collect();
    let json = serde_json::to_string(&text)?;
    // What some tools show as nothing, or as an end of a line, is written out.
    let plain = json.chars().map(|c| {
        if c.is_ascii_graphic() || c == ' ' { c.to_string() } else { format!("\\u{:04x}", u32::from(c)) }
    });
    Ok(plain.collect())
}

/// Writes the cases of a file into a folder; none where there is no file.
pub(super) fn unpack(file: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    for line in fs::read_to_string(file).unwrap_or_default().lines() {
        let text: String =
            serde_json::from_str(line).with_context(|| format!("{}: {line}", file.display()))?;
        let case = text.chars().map(u8::try_from).collect::<Result<Vec<u8>, _>>();
        let case = case.with_context(|| format!("{}: {line}", file.display()))?;
        let mut hash = DefaultHasher::new();
        case.hash(&mut hash);
        fs::write(folder.join(format!("kept-{:016x}", hash.finish())), case)?;
    }
    Ok(())
}

/// Writes the cases of a folder into a file, in order; how many.
pub(super) fn pack(folder: &Path, file: &Path) -> Result<usize> {
    let mut lines = BTreeSet::new();
    for entry in fs::read_dir(folder)? {
        lines.insert(line(&fs::read(entry?.path())?)?);
    }
    let text: String = lines.iter().map(|l| format!("{l}\n")).collect();
    fs::write(file, text)?;
    Ok(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_come_back_as_they_were() {
        let dir = tempfile::tempdir().expect("temp");
        let (one, two, file) = (dir.path().join("one"), dir.path().join("two"), dir.path().join("f.jsonl"));
        let all: Vec<u8> = (0..=255).collect();
        fs::create_dir_all(&one).expect("makes");
        fs::write(one.join("a"), &all).expect("writes");
        fs::write(one.join("b"), "\u{7f}\r\n").expect("writes");
        assert_eq!(pack(&one, &file).expect("packs"), 2);
        let text = fs::read_to_string(&file).expect("reads");
        assert!(text.bytes().all(|b| b == b'\n' || b == b' ' || b.is_ascii_graphic()));
        unpack(&file, &two).expect("unpacks");
        let again = dir.path().join("g.jsonl");
        assert_eq!(pack(&two, &again).expect("packs"), 2);
        assert_eq!(fs::read_to_string(again).expect("reads"), text);
    }
}
