//! What stops a suite from starting is one clear line.

use std::net::TcpListener;

use crate::harness::{Server, UP, folder, hotswap};

/// Runs `up` with one option changed; gives its complaint.
fn refused(folder: &std::path::Path, option: &str, value: &str, code: i32) -> String {
    let mut args = UP.map(str::to_owned);
    let at = args.iter().position(|a| a == option).expect("an option of up");
    args[at + 1] = value.to_owned();
    let said: crate::harness::Said = hotswap(folder).args(args).output().expect("runs").into();
    said.fails(code)
}

#[test]
fn a_taken_port_is_one_line_that_names_the_option() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = taken.local_addr().expect("an address").to_string();
    let folder = folder();
    for (option, what) in [
        ("--listen", "control plane"),
        ("--admin-listen", "control plane admin"),
        ("--gateway-listen", "gateway"),
        ("--gateway-admin-listen", "gateway admin"),
    ] {
        let said = refused(folder.path(), option, &address, 1);
        let want = format!("error: cannot listen on {address} ({what}, {option}): the address is in use\n");
        assert_eq!(said, want);
    }
}

#[test]
fn a_taken_port_leaves_no_data_folder_behind() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("binds");
    let folder = folder();
    refused(folder.path(), "--listen", &taken.local_addr().expect("an address").to_string(), 1);
    assert!(!folder.path().join("data").exists());
}

#[test]
fn a_second_suite_on_the_same_folder_is_refused() {
    let folder = folder();
    let _first = Server::suite(folder.path());
    let said: crate::harness::Said = hotswap(folder.path()).args(UP).output().expect("runs").into();
    let said = said.fails(1);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(said.starts_with("error: the data folder data is in use by another process"), "{said}");
}

#[test]
fn bad_options_are_told_and_end_with_code_2() {
    let folder = folder();
    let said = refused(folder.path(), "--listen", "localhost", 2);
    assert!(said.starts_with("error: invalid value 'localhost' for '--listen <ADDRESS>'"), "{said}");
    let said = refused(folder.path(), "--log", "hotswap=loud", 2);
    assert!(said.starts_with("error: cannot use the log filter"), "{said}");
    for (args, want) in [
        (&["up", "--exit"][..], "error: the following required arguments were not provided"),
        (&["up", "--frob"], "error: unexpected argument '--frob' found"),
        (&["serve", "policy"], "error: invalid value 'policy' for '<SERVICE>...': this service is not built"),
        (&["serve", "shop"], "error: invalid value 'shop' for '<SERVICE>...': there is no such service"),
        (&["token", "--role", "king", "--subject", "me"], "error: invalid value 'king' for '--role <ROLE>'"),
    ] {
        let said: crate::harness::Said = hotswap(folder.path()).args(args).output().expect("runs").into();
        let said = said.fails(2);
        assert!(said.starts_with(want), "{said}");
    }
}

#[test]
fn a_key_of_the_options_file_that_is_no_option_is_named() {
    let folder = folder();
    std::fs::write(folder.path().join("hotswap.toml"), "lisen = \"127.0.0.1:0\"\n").expect("written");
    let said: crate::harness::Said = hotswap(folder.path()).args(UP).output().expect("runs").into();
    assert_eq!(said.fails(2), "error: hotswap.toml: lisen is no option\n");
}

#[test]
fn a_token_needs_the_key_of_a_data_folder() {
    let folder = folder();
    let args = ["token", "--role", "viewer", "--subject", "me"];
    let said: crate::harness::Said = hotswap(folder.path()).args(args).output().expect("runs").into();
    let said = said.fails(1);
    assert!(said.starts_with("error: cannot use the signing key hotswap-data/signing-key.pem"), "{said}");
    assert!(said.contains("hint: `hotswap up` makes the key"), "{said}");
}
