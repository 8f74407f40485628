//! Tools that are built from Go modules.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::tools::{Tools, run};
use crate::say;

/// A program, and the module that it is built from.
#[derive(Clone, Copy)]
pub(super) struct GoTool {
    pub(super) name: &'static str,
    module: &'static str,
    version: &'static str,
    /// The folder of its main package in the module.
    package: &'static str,
    /// Of a module that says not by itself what it needs: what that is.
    needs: &'static [&'static str],
    /// The variable that tests find it by.
    variable: Option<&'static str>,
}

/// The last release of Jaeger 1: one program that takes spans and shows them. It takes some minutes to build, once.
pub(super) const JAEGER: GoTool = GoTool {
    name: "jaeger",
    module: "github.com/jaegertracing/jaeger",
    version: "v1.76.0",
    package: "./cmd/all-in-one",
    needs: &[],
    variable: Some("HOTSWAP_TEST_JAEGER"),
};

/// What the guides call the services with.
pub(super) const GRPCURL: GoTool = GoTool {
    name: "grpcurl",
    module: "github.com/fullstorydev/grpcurl",
    version: "v1.9.3",
    package: "./cmd/grpcurl",
    needs: &[],
    variable: None,
};

/// Asks a server of HTTP/2 whether it keeps to the RFCs. The last release that the Go modules have.
pub(super) const H2SPEC: GoTool = GoTool {
    name: "h2spec",
    module: "github.com/summerwind/h2spec",
    version: "v2.2.1+incompatible",
    package: "./cmd/h2spec",
    needs: &["github.com/fatih/color v1.19.0", "github.com/spf13/cobra v1.10.2", "golang.org/x/net v0.62.0"],
    variable: Some("HOTSWAP_TEST_H2SPEC"),
};

/// The client and the server that those who make gRPC ask its implementations with. They take some minutes to build, once.
pub(super) const INTEROP_CLIENT: GoTool = GoTool {
    name: "grpc-interop-client",
    module: "google.golang.org/grpc",
    version: "v1.85.0",
    package: "./interop/client",
    needs: &[],
    variable: Some("HOTSWAP_TEST_INTEROP_CLIENT"),
};
pub(super) const INTEROP_SERVER: GoTool = GoTool {
    name: "grpc-interop-server",
    package: "./interop/server",
    variable: Some("HOTSWAP_TEST_INTEROP_SERVER"),
    ..INTEROP_CLIENT
};

/// Those that tests start.
pub(super) const OF_TESTS: [GoTool; 4] = [JAEGER, H2SPEC, INTEROP_CLIENT, INTEROP_SERVER];

impl Tools {
    /// The program, built where it is missing or not of the version wanted.
    ///
    /// # Errors
    /// Where there is no Go, or the module can't be had or built.
    pub(super) fn go(&self, tool: GoTool) -> Result<PathBuf> {
        let program = self.dir.join("go").join(format!("{}-{}", tool.name, tool.version));
        if program.is_file() {
            return Ok(program);
        }
        say(&format!("building {} {}", tool.module, tool.version))?;
        let source = tempfile::tempdir()?;
        let source = source.path().join(tool.name);
        copy(&downloaded(tool)?, &source)?;
        if !tool.needs.is_empty() {
            let needs: String = tool.needs.iter().map(|need| format!("require {need}\n")).collect();
            fs::write(source.join("go.mod"), format!("module {}\n\ngo 1.24\n\n{needs}", tool.module))?;
        }
        fs::create_dir_all(program.with_file_name(""))?;
        // Built aside, so that one that was interrupted is not taken for whole.
        let aside = program.with_extension("new");
        // A module that replaces others, as this one does, can't be installed by its path alone.
        let mut build = go();
        build.args(["build", "-trimpath", "-o"]).arg(&aside).arg(tool.package).current_dir(&source);
        run(&mut build)?;
        fs::rename(&aside, &program)?;
        Ok(program)
    }

    /// Tells a command that runs tests where the program is.
    ///
    /// # Errors
    /// As [`Self::go`].
    pub(super) fn give(&self, tool: GoTool, command: &mut Command) -> Result<()> {
        let program = self.go(tool)?;
        tool.variable.map(|variable| command.env(variable, program));
        Ok(())
    }
}

fn go() -> Command {
    let mut go = Command::new("go");
    // A module may ask for a newer toolchain than there is; go fetches it.
    go.env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "auto");
    go
}

/// The folder that go keeps the module's source in.
fn downloaded(tool: GoTool) -> Result<PathBuf> {
    let mut download = go();
    download.args(["mod", "download", "-json", &format!("{}@{}", tool.module, tool.version)]);
    let output = download.output().context("running go")?;
    if !output.status.success() {
        bail!("go can't download {}: {}", tool.module, String::from_utf8_lossy(&output.stderr).trim());
    }
    let told: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(told["Dir"].as_str().context("go names no folder")?.into())
}

/// Copies a folder. What go keeps can't be written to, and a build may have to.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::write(&target, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}
