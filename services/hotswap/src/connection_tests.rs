use std::path::Path;

use super::*;

const LIMIT: Duration = Duration::from_secs(30);

fn contexts() -> Contexts {
    let mut contexts = Contexts::default();
    for (name, server) in [("prod", "https://prod.example"), ("here", "http://127.0.0.1:9")] {
        let token_file = Some(format!("{name}.token").into());
        let ca_file = server.starts_with("https").then(|| format!("{name}.ca").into());
        let context = Context { server: server.into(), token_file, ca_file, ..Context::default() };
        contexts.put(name, context).expect("fits");
    }
    contexts.select("prod").expect("there");
    contexts
}

fn by<T>(value: T, level: Level) -> Option<Given<T>> {
    Some(Given { value, level })
}

fn server(value: &str, level: Level) -> Asked {
    Asked { server: by(value.into(), level), ..Asked::default() }
}

fn resolve(asked: &Asked) -> Target {
    asked.resolve(&contexts(), LIMIT).expect("resolves")
}

fn file(name: &str) -> Option<Token> {
    Some(Token::File(name.into()))
}

#[test]
fn without_a_word_the_current_context_is_meant() {
    let target = resolve(&Asked::default());
    assert_eq!((target.server.as_str(), target.token), ("https://prod.example", file("prod.token")));
    assert_eq!(target.tls.ca_file.as_deref(), Some(Path::new("prod.ca")));
}

#[test]
fn without_a_context_the_suite_on_this_machine_is_meant() {
    let target = Asked::default().resolve(&Contexts::default(), LIMIT).expect("resolves");
    assert_eq!((target.server.as_str(), target.token), (LOCAL, None));
}

#[test]
fn a_flag_goes_before_a_variable_before_the_options_file_before_the_current_context() {
    for level in [Level::Options, Level::Variable, Level::Flag] {
        assert_eq!(resolve(&server("http://other", level)).server, "http://other");
    }
    // A context that is named stands where it is named.
    let context = by("here".to_owned(), Level::Variable);
    let flag = resolve(&Asked { context: context.clone(), ..server("http://other", Level::Flag) });
    assert_eq!((flag.server.as_str(), flag.token), ("http://other", None));
    let options = resolve(&Asked { context, ..server("http://other", Level::Options) });
    assert_eq!((options.server.as_str(), options.token), ("http://127.0.0.1:9", file("here.token")));
}

#[test]
fn the_token_of_a_context_goes_to_its_own_server_alone() {
    let target = resolve(&server("https://elsewhere.example", Level::Variable));
    assert_eq!((target.token, target.tls), (None, Tls::default()));
    let same = resolve(&server("https://prod.example", Level::Flag));
    assert_eq!(same.token, file("prod.token"));
    // Who names both means both.
    let both =
        Asked { context: by("prod".into(), Level::Flag), ..server("https://port-forward:1", Level::Flag) };
    let both = resolve(&both);
    assert_eq!((both.server.as_str(), both.token), ("https://port-forward:1", file("prod.token")));
}

#[test]
fn the_strongest_token_is_taken() {
    let token = by(Secret::new("t".into()), Level::Variable);
    let variable = Asked { token: token.clone(), ..Asked::default() };
    assert_eq!(resolve(&variable).token, Some(Token::Text(Secret::new("t".into()))));
    let flag = Asked { token_file: by("f".into(), Level::Flag), ..variable.clone() };
    assert_eq!(resolve(&flag).token, file("f"));
    let context = Asked { context: by("prod".into(), Level::Flag), ..variable };
    assert_eq!(resolve(&context).token, file("prod.token"));
    let equal = Asked { token, token_file: by("f".into(), Level::Variable), ..Asked::default() };
    assert_eq!(resolve(&equal).token, Some(Token::Text(Secret::new("t".into()))));
}

#[test]
fn a_data_folder_that_is_named_means_the_suite_on_this_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let admin = folder.path().join(ADMIN_TOKEN);
    std::fs::write(&admin, "t").expect("written");
    let asked = Asked { data_dir: by(folder.path().into(), Level::Flag), ..Asked::default() };
    let target = resolve(&asked);
    assert_eq!((target.server.as_str(), target.token), (LOCAL, Some(Token::File(admin.clone()))));

    // Its token leaves this machine only where the folder was named for that.
    let options = Asked { data_dir: by(folder.path().into(), Level::Options), ..Asked::default() };
    let away = |level| Asked { server: by("http://away.example".into(), level), ..options.clone() };
    assert_eq!(resolve(&away(Level::Flag)).token, None);
    let here = Asked { server: by("http://[::1]:7400".into(), Level::Flag), ..options.clone() };
    assert_eq!(resolve(&here).token, Some(Token::File(admin)));
}

#[test]
fn an_unknown_context_is_refused_with_those_that_there_are() {
    let asked = Asked { context: by("pord".into(), Level::Flag), ..Asked::default() };
    let said = asked.resolve(&contexts(), LIMIT).expect_err("refused").to_string();
    assert_eq!(said, "there is no context \"pord\"\n  hint: there are: here, prod");
}

#[test]
fn a_certificate_for_a_server_without_tls_is_refused_where_a_flag_names_it() {
    let asked = Asked { ca_file: by("ca".into(), Level::Flag), ..server("http://a", Level::Flag) };
    let said = asked.resolve(&contexts(), LIMIT).expect_err("refused").to_string();
    assert_eq!(said, "--ca-file is for https:// servers, and this is http://a");
    let quiet = Asked { ca_file: by("ca".into(), Level::Variable), ..server("http://a", Level::Flag) };
    assert_eq!(resolve(&quiet).tls.ca_file.as_deref(), Some(Path::new("ca")));
}

#[test]
fn a_limit_is_seconds_unless_it_says_otherwise() {
    assert_eq!(parse_limit("30"), parse_limit("30s"));
    assert_eq!(parse_limit("500ms"), Ok(Duration::from_millis(500)));
    for bad in ["", "0", "soon", "1ms", "2h"] {
        assert!(parse_limit(bad).is_err(), "{bad:?}");
    }
}
