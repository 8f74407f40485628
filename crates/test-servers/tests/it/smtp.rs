//! A mail server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use hotswap_test_servers::{Smtp, SmtpTls};

use crate::there;

/// Says each line and gives the code of the last answer.
fn talk(smtp: &Smtp, lines: &[&str]) -> String {
    let mut stream = TcpStream::connect(smtp.address()).expect("connects");
    let mut answers = BufReader::new(stream.try_clone().expect("a clone"));
    let mut answer = || loop {
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        // A hyphen behind the code says that more lines come.
        if line.as_bytes().get(3) != Some(&b'-') {
            return line;
        }
    };
    let mut last = answer();
    for line in lines {
        stream.write_all(format!("{line}\r\n").as_bytes()).expect("says");
        last = answer();
    }
    last[..3].to_owned()
}

#[test]
fn a_mail_is_kept_and_refused_ones_are_not() {
    let Some(smtp) = there(Smtp::start(SmtpTls::Plain, None)) else { return };
    let to = |name: &str| {
        ["EHLO me", "MAIL FROM:<a@b.example>", &format!("RCPT TO:<{name}@b.example>")].map(str::to_owned)
    };
    let lines = |name: &str| to(name).to_vec();
    let say = |lines: Vec<String>| talk(&smtp, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(say(lines("refused")), "550");
    smtp.set_busy(true).expect("told");
    assert_eq!(say(lines("ops")), "451");
    smtp.set_busy(false).expect("told");
    assert!(smtp.mails().expect("reads").is_empty());
    let mut whole = lines("ops");
    whole.extend(["DATA".to_owned(), "Subject: x\r\n\r\nhello\r\n.".to_owned()]);
    assert_eq!(say(whole), "250");
    let mails = smtp.mails().expect("reads");
    assert_eq!(mails.len(), 1);
    assert_eq!(
        (mails[0].from.as_str(), mails[0].to.as_slice()),
        ("a@b.example", &["ops@b.example".to_owned()][..])
    );
    assert!(mails[0].content.contains("hello") && !mails[0].encrypted);
}
