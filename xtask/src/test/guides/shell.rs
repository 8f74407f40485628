//! The bash that a guide is typed into.

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};

use super::page::{Page, What, comes};

/// A guide that hangs must not hang everything.
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a guide in an empty folder, with these programs on its path.
pub(super) fn run(page: &Page, programs: &[&Path]) -> Result<()> {
    let folder = tempfile::Builder::new().prefix("hotswap-guide-").tempdir()?;
    let (home, bin, out) = (folder.path().join("home"), folder.path().join("bin"), folder.path().join("out"));
    for dir in [&home, &bin, &out] {
        fs::create_dir(dir)?;
    }
    for program in programs {
        let name = program.file_stem().unwrap_or_default().to_string_lossy();
        // A tool's file is named with its version.
        let name = name.split('-').next().unwrap_or_default().to_owned();
        std::os::unix::fs::symlink(program, bin.join(name))?;
    }
    let script = folder.path().join("guide.sh");
    fs::write(&script, typed(page, &out))?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let mut bash = Command::new("bash");
    bash.arg(&script).current_dir(&home).env_clear().env("PATH", path).env("HOME", &home);
    let mut child = bash.stdin(Stdio::null()).process_group(0).spawn().context("starting bash")?;
    let group = Pid::from_child(&child);
    let ended = wait(&mut child);
    // Whatever it left running in the background.
    let _ = kill_process_group(group, Signal::KILL);
    let ended = ended?;
    check(page, &out, ended)
}

/// What is typed: each step's output goes to a file of its own, and the first command that fails ends it all.
fn typed(page: &Page, out: &Path) -> String {
    let mut script = "set -e\ntrap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n".to_owned();
    for (i, step) in page.steps.iter().enumerate() {
        script.push_str(&match &step.what {
            What::Write { file, text } => format!("cat >{file} <<'END OF THE FILE'\n{text}END OF THE FILE\n"),
            What::Type { commands, .. } => format!("exec >{} 2>&1\n{commands}\n", printed(out, i).display()),
        });
        script.push_str(&format!("echo >{}\n", done(out, i).display()));
    }
    script
}

fn printed(out: &Path, step: usize) -> PathBuf {
    out.join(format!("{step}.txt"))
}

fn done(out: &Path, step: usize) -> PathBuf {
    out.join(format!("{step}.done"))
}

/// Whether it ended within its time.
fn wait(child: &mut std::process::Child) -> Result<bool> {
    let until = Instant::now() + LIMIT;
    while Instant::now() < until {
        if child.try_wait()?.is_some() {
            return Ok(true);
        }
        thread::sleep(Duration::from_millis(20));
    }
    Ok(false)
}

fn check(page: &Page, out: &Path, ended: bool) -> Result<()> {
    for (i, step) in page.steps.iter().enumerate() {
        let text = fs::read_to_string(printed(out, i)).unwrap_or_default();
        if !done(out, i).exists() {
            let how = if ended { "fails" } else { "does not end" };
            bail!("line {}: a command {how}; it printed:\n{text}", step.line);
        }
        if let What::Type { prints, .. } = &step.what {
            comes(prints, &text).with_context(|| format!("line {}", step.line))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ran(text: &str) -> Result<()> {
        run(&Page::parse(&format!("<!-- run -->\n{text}"))?.context("is run")?, &[])
    }

    #[test]
    fn a_guide_whose_commands_do_as_it_says_holds() {
        ran("```yaml a.yaml\nkind: A\n```\n```sh\nname=a; sleep 1000 &\n```\n```sh\ncat $name.yaml\n```\n```text\nkind: …\n```\n")
            .expect("holds");
    }

    #[test]
    fn a_guide_that_fails_or_says_what_is_not_so_is_told_by_its_line() {
        let error = ran("```sh\nls\n```\n```sh\necho before; false; echo after\n```\n").expect_err("fails");
        let told = format!("{error:#}");
        assert!(told.starts_with("line 5: a command fails") && told.contains("before"), "{told}");
        let error = ran("```sh\necho b\n```\n```text\na\n```\n").expect_err("is not so");
        assert!(format!("{error:#}").starts_with("line 2: \"a\" does not come"), "{error:#}");
    }
}
