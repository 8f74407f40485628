use std::fs::Permissions;

use super::*;

const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191A1B1C1D1E1F";
const OTHER: &str = "//////////////////////////////////////////8=";

fn keys(lines: &[&str]) -> SealingKeys {
    SealingKeys::parse(&lines.join("\n")).expect("keys")
}

#[test]
fn what_is_sealed_opens_for_its_owner_alone() {
    let keys = keys(&[ONE]);
    let sealed = keys.seal("certificates/a 7", "a key").expect("sealed");
    assert_ne!(sealed, keys.seal("certificates/a 7", "a key").expect("sealed"), "each has its own nonce");
    assert_eq!(keys.open("certificates/a 7", &sealed).as_deref(), Ok("a key"));
    for owner in ["certificates/b 7", "certificates/a 8", ""] {
        assert_eq!(keys.open(owner, &sealed), Err(OpenError::Altered), "{owner}");
    }
}

#[test]
fn the_first_key_seals_and_all_of_them_open() {
    let (old, new) = (keys(&[ONE]), keys(&[OTHER, "# the one before", ONE, ""]));
    let sealed = old.seal("a", "text").expect("sealed");
    assert_eq!(new.open("a", &sealed).as_deref(), Ok("text"));
    assert!(old.is_of_first(&sealed) && !new.is_of_first(&sealed));
    let again = new.seal("a", "text").expect("sealed");
    let id = keys(&[OTHER]).ids().next().expect("one").to_owned();
    assert_eq!(old.open("a", &again), Err(OpenError::KeyMissing { id }));
    assert_eq!(keys(&[OTHER]).open("a", &again).as_deref(), Ok("text"));
}

#[test]
fn what_was_altered_or_is_no_sealed_text_does_not_open() {
    let keys = keys(&[ONE]);
    let sealed = keys.seal("a", "text").expect("sealed");
    let (head, body) = sealed.rsplit_once('.').expect("parts");
    let mut bytes = BASE64_STANDARD_NO_PAD.decode(body).expect("base64");
    for i in 0..bytes.len() {
        bytes[i] ^= 1;
        let altered = format!("{head}.{}", BASE64_STANDARD_NO_PAD.encode(&bytes));
        assert_eq!(keys.open("a", &altered), Err(OpenError::Altered), "byte {i}");
        bytes[i] ^= 1;
    }
    for text in [
        "",
        "v1",
        "v1.",
        "v2.x.y",
        "text",
        &format!("{head}."),
        &format!("{head}.AAAA"),
        &format!("{head}.?"),
    ] {
        assert_eq!(keys.open("a", text), Err(OpenError::Foreign), "{text}");
    }
}

#[test]
fn a_file_that_others_may_read_or_that_holds_no_key_is_refused() {
    let dir = tempfile::tempdir().expect("a folder");
    let path = dir.path().join("keys");
    let load = |text: &str, mode: u32| {
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, Permissions::from_mode(mode)).expect("set");
        SealingKeys::load(&path).map_err(|e| e.to_string().replace(&path.display().to_string(), "FILE"))
    };
    assert_eq!(load(ONE, 0o600).expect("keys").ids().count(), 1);
    assert!(load(&format!("{OTHER}\n{ONE}\n"), 0o440).is_ok());
    let exposed = load(ONE, 0o644).expect_err("exposed");
    assert_eq!(exposed, "FILE: others may read or change the keys (mode 644); chmod 600 mends it");
    assert_eq!(load("# none\n", 0o600).expect_err("empty"), "FILE: there is no key in it");
    for wrong in ["secret", &ONE[2..], &"g".repeat(64), "AAAA"] {
        let told = load(&format!("{ONE}\n{wrong}"), 0o600).expect_err("no key");
        assert_eq!(told, "FILE: line 2 is no key: it must be 32 bytes as hex or base64");
    }
    let missing = SealingKeys::load(Path::new("/none/keys")).expect_err("missing").to_string();
    assert!(missing.starts_with("cannot read /none/keys: "), "{missing}");
    assert!(!format!("{:?}", keys(&[ONE])).contains("0001"), "nothing shows a key");
}
