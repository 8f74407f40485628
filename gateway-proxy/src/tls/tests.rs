use super::*;

#[test]
fn a_pair_is_two_files_with_one_colon_between() {
    let pair: PairOption = "a/b.pem:c.key".parse().expect("a pair");
    assert_eq!((pair.cert.to_str(), pair.key.to_str()), (Some("a/b.pem"), Some("c.key")));
    for wrong in ["", "a.pem", ":", "a:", ":b", "a:b:c"] {
        assert!(wrong.parse::<PairOption>().is_err(), "{wrong}");
    }
}

#[test]
fn versions_that_are_broken_are_none() {
    assert_eq!("1.3".parse(), Ok(TlsVersion::V1_3));
    for old in ["1.0", "1.1", "3", ""] {
        assert!(old.parse::<TlsVersion>().is_err(), "{old}");
    }
}

#[test]
fn an_option_that_needs_another_says_so() {
    let check = |change: fn(&mut ClientTlsOptions)| {
        let mut options = ClientTlsOptions::default();
        change(&mut options);
        options.check(EngineKind::Own).map_err(|e| e.to_string())
    };
    assert_eq!(check(|_| {}), Ok(()));
    assert_eq!(check(|o| o.redirect_to_https = Some(443)), Ok(()));
    let alone = check(|o| o.redirect_to_https = Some(0)).expect_err("no port");
    assert!(alone.contains("--gateway-tls-listen"), "{alone}");
    let alone = check(|o| o.gateway_tls_client_ca = Some("ca.pem".into())).expect_err("no listener");
    assert!(alone.contains("--gateway-tls-listen"), "{alone}");
}
