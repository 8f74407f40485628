//! Named control planes, in a file of the user's own (mode 0600): `$HOTSWAP_CLI_CONFIG`, else
//! `$XDG_CONFIG_HOME/hotswap/cli.toml`, else `~/.config/hotswap/cli.toml`.
//!
//! ```toml
//! current = "prod"
//! [context.prod]
//! server = "https://hotswap.example:7400"
//! token_file = "/home/me/.hotswap/prod.token"
//! ```

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::client;
use crate::exit::{Exit, Failure};
use crate::output::Format;
use crate::secret::{Secret, Token};

const HEAD: &str = "# Written by `hotswap context`, which keeps no comments.\n";
/// Write for anybody but the owner.
const OTHERS_WRITE: u32 = 0o022;
/// Anything for anybody but the owner.
const OTHERS: u32 = 0o077;

/// A control plane, and how to call it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Context {
    pub(crate) server: String,
    /// Kept here only where that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token: Option<Secret>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_file: Option<PathBuf>,
    /// For `sh -c`; it prints the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) token_command: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) ca_file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_cert: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) client_key: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tls_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) output: Option<Format>,
}

impl Context {
    /// Where its token comes from.
    pub(crate) fn token(&self) -> Option<Token> {
        let file = || self.token_file.clone().map(Token::File);
        let command = || self.token_command.clone().map(Token::Command);
        self.token.clone().map(Token::Text).or_else(file).or_else(command)
    }

    /// # Errors
    /// What does not go together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        client::check(&self.server)?;
        let tokens = [self.token.is_some(), self.token_file.is_some(), self.token_command.is_some()];
        if tokens.iter().filter(|there| **there).count() > 1 {
            return Err(Failure::usage("more than one of token, token_file and token_command"));
        }
        if self.client_cert.is_some() != self.client_key.is_some() {
            return Err(Failure::usage("client_cert and client_key go together"));
        }
        let tls = self.ca_file.is_some() || self.client_cert.is_some() || self.tls_name.is_some();
        if tls && !self.server.starts_with("https://") {
            return Err(Failure::usage("ca_file, client_cert and tls_name are for https:// servers"));
        }
        Ok(())
    }
}

/// All of them, and which one is meant where none is named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Contexts {
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<String>,
    #[serde(default, rename = "context", skip_serializing_if = "BTreeMap::is_empty")]
    contexts: BTreeMap<String, Context>,
}

/// The file of the contexts.
///
/// # Errors
/// Where nothing says who the user is.
pub(crate) fn path() -> Result<PathBuf, Failure> {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    if let Some(file) = var("HOTSWAP_CLI_CONFIG") {
        return Ok(file);
    }
    let home = || var("HOME").map(|home| home.join(".config"));
    // The XDG specification says that a relative path there is to be ignored.
    let folder = var("XDG_CONFIG_HOME").filter(|dir| dir.is_absolute()).or_else(home);
    // Without a home there is nothing to read, which is no failure; a write would say so.
    Ok(folder.unwrap_or_else(|| "/nonexistent".into()).join("hotswap/cli.toml"))
}

impl Contexts {
    /// Reads the file; one that is not there holds nothing.
    ///
    /// # Errors
    /// Where it can't be read, others may write it, or others may read a token in it.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        let bad = |why: String| Failure::usage(format!("can't use {}: {why}", path.display()));
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::default());
            }
            Err(e) => return Err(bad(e.to_string())),
        };
        let contexts: Self = toml::from_str(&text).map_err(|e| bad(e.message().to_owned()))?;
        for (name, context) in &contexts.contexts {
            context.check().map_err(|e| bad(format!("context {name}: {}", e.message())))?;
        }
        let mode = fs::metadata(path).map_err(|e| bad(e.to_string()))?.mode();
        let close = || format!("`chmod 600 {}` makes it yours alone", path.display());
        if mode & OTHERS_WRITE != 0 {
            return Err(
                bad("others may write it, and a command in it would run as you".to_owned()).hint(close())
            );
        }
        if mode & OTHERS != 0 && contexts.contexts.values().any(|c| c.token.is_some()) {
            return Err(bad("it holds a token, and others may read it".to_owned()).hint(close()));
        }
        Ok(contexts)
    }

    /// Writes the file in one step, for its owner alone.
    ///
    /// # Errors
    /// Where that fails.
    pub(crate) fn save(&self, path: &Path) -> Result<(), Failure> {
        let failed =
            |e: &dyn std::fmt::Display| Failure::other(format!("can't write {}: {e}", path.display()));
        let text = toml::to_string(self).map_err(|e| failed(&e))?;
        // A link, as people have who keep their settings elsewhere, stays one.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        write(&target, &format!("{HEAD}{text}")).map_err(|e| failed(&e))
    }

    /// The name of the current one.
    pub(crate) fn current(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// All names, in order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.contexts.keys().map(String::as_str)
    }

    /// One of them.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub(crate) fn get(&self, name: &str) -> Result<&Context, Failure> {
        self.contexts.get(name).ok_or_else(|| self.missing(name))
    }

    /// Makes one the current one.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub(crate) fn select(&mut self, name: &str) -> Result<(), Failure> {
        self.get(name)?;
        self.current = Some(name.to_owned());
        Ok(())
    }

    /// Puts one in; whether it is new.
    ///
    /// # Errors
    /// Where the name, or what is in the context, breaks the rules.
    pub(crate) fn put(&mut self, name: &str, context: Context) -> Result<bool, Failure> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if name.is_empty() || name.len() > 63 || !name.chars().all(fits) {
            let rule = "is 1 to 63 letters, digits, hyphens, dots and underscores";
            return Err(Failure::usage(format!("\"{name}\": a context's name {rule}")));
        }
        context.check()?;
        Ok(self.contexts.insert(name.to_owned(), context).is_none())
    }

    /// Takes one out; whether it was the current one, of which there is none then.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub(crate) fn remove(&mut self, name: &str) -> Result<bool, Failure> {
        if self.contexts.remove(name).is_none() {
            return Err(self.missing(name));
        }
        let was_current = self.current() == Some(name);
        if was_current {
            self.current = None;
        }
        Ok(was_current)
    }

    fn missing(&self, name: &str) -> Failure {
        let known: Vec<_> = self.names().collect();
        let hint = if known.is_empty() {
            "`hotswap context set NAME --server URL` makes one".to_owned()
        } else {
            format!("there are: {}", known.join(", "))
        };
        Failure::new(Exit::NotFound, format!("there is no context \"{name}\"")).hint(hint)
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(&beside)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        // It may not even be there.
        let _ = fs::remove_file(&beside);
    }
    written
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn context(server: &str) -> Context {
        Context { server: server.into(), ..Context::default() }
    }

    #[test]
    fn what_is_saved_is_loaded_and_the_file_is_its_owners_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("new/cli.toml");
        let mut contexts = Contexts::default();
        let token = Some(Secret::new("a.b.c".into()));
        assert!(contexts.put("prod", Context { token, ..context("https://a.example") }).expect("fits"));
        contexts.select("prod").expect("there");
        contexts.save(&file).expect("written");
        assert_eq!(fs::metadata(&file).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(Contexts::load(&file).expect("read"), contexts);
        assert!(contexts.remove("prod").expect("there"));
        assert_eq!(contexts.current(), None);
    }

    #[test]
    fn a_file_that_others_may_write_or_whose_token_they_may_read_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cli.toml");
        let mut contexts = Contexts::default();
        contexts.put("a", context("http://a")).expect("fits");
        contexts.save(&file).expect("written");
        let open = |mode| fs::set_permissions(&file, fs::Permissions::from_mode(mode)).expect("set");
        open(0o644);
        Contexts::load(&file).expect("holds no secret");
        open(0o664);
        assert!(Contexts::load(&file).expect_err("refused").to_string().contains("others may write it"));
        let token = Some(Secret::new("a.b.c".into()));
        contexts.put("a", Context { token, ..context("http://a") }).expect("fits");
        contexts.save(&file).expect("written");
        open(0o640);
        let said = Contexts::load(&file).expect_err("refused").to_string();
        assert!(said.contains("it holds a token, and others may read it"), "{said}");
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let (real, link) = (folder.path().join("real.toml"), folder.path().join("cli.toml"));
        Contexts::default().save(&real).expect("written");
        std::os::unix::fs::symlink(&real, &link).expect("linked");
        let mut contexts = Contexts::default();
        contexts.put("a", context("http://a")).expect("fits");
        contexts.save(&link).expect("written");
        assert!(fs::symlink_metadata(&link).expect("there").is_symlink());
        assert_eq!(Contexts::load(&real).expect("read"), contexts);
    }

    #[test]
    fn what_does_not_go_together_is_refused() {
        let key = Some(PathBuf::from("k"));
        let file = Some(PathBuf::from("f"));
        for (bad, why) in [
            (context("a.example:1"), "http://"),
            (Context { client_key: key, ..context("https://a") }, "go together"),
            (Context { ca_file: file.clone(), ..context("http://a") }, "are for https"),
            (
                Context { token_file: file, token_command: Some("c".into()), ..context("http://a") },
                "more than one",
            ),
        ] {
            let said = Contexts::default().put("a", bad).expect_err("refused").to_string();
            assert!(said.contains(why), "{said}");
        }
        assert!(Contexts::default().put("a b", context("http://a")).is_err());
    }

    #[test]
    fn an_unknown_key_of_the_file_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("cli.toml");
        fs::write(&file, "[context.a]\nserver = \"http://a\"\ntoken-file = \"t\"\n").expect("written");
        let said = Contexts::load(&file).expect_err("refused").to_string();
        assert!(said.contains("unknown field `token-file`"), "{said}");
    }
}
