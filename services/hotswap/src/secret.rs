//! Tokens: where they are kept, and read only when a call needs them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::exit::Failure;

/// How long a command that prints a token may take: somebody may have to answer it.
const COMMAND_LIMIT: Duration = Duration::from_secs(120);

/// A text that no output shows.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Where a token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Text(Secret),
    File(PathBuf),
    /// What a command of the shell prints.
    Command(String),
}

impl Token {
    /// The token itself.
    ///
    /// # Errors
    /// Where it can't be read.
    pub(crate) async fn read(&self) -> Result<Secret, Failure> {
        match self {
            Self::Text(secret) => Ok(secret.clone()),
            Self::File(file) => from_file(file),
            Self::Command(command) => from_command(command).await,
        }
    }
}

fn from_file(file: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|e| Failure::usage(format!("can't read the token file {}: {e}", file.display())))?;
    not_empty(text, || format!("the token file {}", file.display()))
}

fn not_empty(text: String, what: impl Fn() -> String) -> Result<Secret, Failure> {
    let token = text.trim();
    if token.is_empty() {
        Err(Failure::usage(format!("{} is empty", what())))
    } else {
        Ok(Secret::new(token.into()))
    }
}

/// Runs a command; it may ask on the terminal, and only what it prints on standard output counts.
async fn from_command(command: &str) -> Result<Secret, Failure> {
    let failed = |why: String| Failure::usage(format!("the token command `{command}` {why}"));
    let child = tokio::process::Command::new("sh")
        .args(["-c", command])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| failed(format!("can't be run: {e}")))?;
    let output = tokio::time::timeout(COMMAND_LIMIT, child.wait_with_output())
        .await
        .map_err(|_| failed(format!("did not end in {} s", COMMAND_LIMIT.as_secs())))?
        .map_err(|e| failed(format!("can't be run: {e}")))?;
    if !output.status.success() {
        return Err(failed(format!("failed ({})", output.status)));
    }
    let text = String::from_utf8(output.stdout).map_err(|_| failed("printed no text".to_owned()))?;
    not_empty(text, || format!("what the token command `{command}` prints"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(token: &Token) -> Result<Secret, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("starts");
        runtime.block_on(token.read())
    }

    #[test]
    fn a_token_is_what_a_file_holds_or_a_command_prints() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("token");
        std::fs::write(&file, " a.b.c\n").expect("written");
        assert_eq!(read(&Token::File(file)).expect("read").expose(), "a.b.c");
        assert_eq!(read(&Token::Command("echo d.e.f".into())).expect("read").expose(), "d.e.f");
    }

    #[test]
    fn a_command_that_fails_or_says_nothing_is_told_by_its_name() {
        let said = read(&Token::Command("exit 3".into())).expect_err("refused").to_string();
        assert_eq!(said, "the token command `exit 3` failed (exit status: 3)");
        let said = read(&Token::Command("true".into())).expect_err("refused").to_string();
        assert_eq!(said, "what the token command `true` prints is empty");
    }

    #[test]
    fn a_secret_is_not_shown() {
        assert_eq!(format!("{:?}", Token::Text(Secret::new("a.b.c".into()))), "Text(Secret)");
    }
}
