//! A PostgreSQL server of one's own.

use std::fmt::Display;
use std::fs;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::Unavailable;
use crate::find::{on_path, postgres_programs};
use crate::folder::Folder;
use crate::process::{Frozen, Server};
use crate::user::{self, User};

/// What all servers here are started with. Shared memory lies in files of the data folder and goes with it.
const ALWAYS: &[(&str, &str)] = &[
    ("max_connections", "200"),
    ("shared_buffers", "64MB"),
    ("dynamic_shared_memory_type", "mmap"),
    ("wal_level", "logical"),
    ("max_wal_size", "2GB"),
];

/// For a server whose data nobody needs after a crash.
const FAST: &[(&str, &str)] =
    &[("fsync", "off"), ("synchronous_commit", "off"), ("full_page_writes", "off"), ("autovacuum", "off")];

/// How a server is to be.
#[derive(Clone, Debug, Default)]
pub struct PostgresOptions {
    /// Whether what is committed survives the loss of the machine, as in production. Else nothing is forced to
    /// disk, and a server that is killed loses what was committed in its last moments.
    pub durable: bool,
    /// Whether it listens on a port of loopback besides its socket. TLS needs it.
    pub tcp: bool,
    /// More settings, as in `postgresql.conf`.
    pub settings: Vec<(String, String)>,
}

/// A server, running or not, and its data. Dropped, both are gone.
///
/// It listens on a socket in its own folder, so its address stays the same however often it ends and starts.
/// Anybody may connect as the superuser `postgres`.
#[derive(Debug)]
pub struct Postgres {
    programs: PathBuf,
    options: PostgresOptions,
    port: u16,
    user: Option<User>,
    // Fields are dropped in this order: the folder's end kills the server, and is to find it named.
    folder: Folder,
    server: Server,
}

impl Postgres {
    /// Makes a server with an empty database `postgres`, and starts it.
    ///
    /// # Errors
    /// Where PostgreSQL is not installed or does not start.
    pub fn start(options: PostgresOptions) -> Result<Self, Unavailable> {
        let mut server = Self::new(options)?;
        let mut initdb = server.program("initdb");
        initdb.arg("-D").arg(server.data());
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        run(&mut initdb)?;
        server.start_again()?;
        Ok(server)
    }

    /// A folder and what will run in it.
    fn new(options: PostgresOptions) -> Result<Self, Unavailable> {
        let programs = postgres_programs()?;
        let user = user::unprivileged()?;
        let folder = Folder::new("hotswap-pg-", user)?;
        let dir = folder.path().to_owned();
        let program = programs.join("postgres");
        let server = Server { program, args: Vec::new(), user, dir, name: "postgres", child: None };
        let port = if options.tcp { free_port()? } else { 5432 };
        let mut made = Self { programs, options, port, user, folder, server };
        made.server.args = made.args();
        Ok(made)
    }

    fn args(&self) -> Vec<String> {
        let tcp = if self.options.tcp { "127.0.0.1" } else { "" };
        let socket = self.folder.path().display().to_string();
        let port = self.port.to_string();
        let own = [("listen_addresses", tcp), ("unix_socket_directories", &socket), ("port", &port)];
        let fast = if self.options.durable { &[] } else { FAST };
        let fixed = ALWAYS.iter().chain(fast).chain(&own).map(|(name, value)| format!("{name}={value}"));
        let more = self.options.settings.iter().map(|(name, value)| format!("{name}={value}"));
        let mut args = vec!["-D".to_owned(), self.data().display().to_string()];
        for setting in fixed.chain(more) {
            args.extend(["-c".to_owned(), setting]);
        }
        args
    }

    /// The address of a database over the socket.
    pub fn url(&self, database: &str) -> String {
        let port = if self.options.tcp { format!(":{}", self.port) } else { String::new() };
        format!("postgres://postgres@localhost{port}/{database}?host={}", self.folder.path().display())
    }

    /// The socket, for a relay.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join(format!(".s.PGSQL.{}", self.port))
    }

    /// Where it listens on loopback, where it does.
    pub fn tcp(&self) -> Option<SocketAddr> {
        self.options.tcp.then(|| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)))
    }

    /// A folder that it can read and that goes with it: for certificates.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a file in [`Self::folder`] the server's own, readable by nobody else, as it demands of a key.
    ///
    /// # Errors
    /// Where that fails.
    pub fn own(&self, file: &Path) -> Result<(), Unavailable> {
        use std::os::unix::fs::PermissionsExt as _;
        let owned =
            fs::set_permissions(file, fs::Permissions::from_mode(0o600)).and_then(|()| match self.user {
                Some(User { uid, gid }) => std::os::unix::fs::chown(file, Some(uid), Some(gid)),
                None => Ok(()),
            });
        owned.map_err(|e| Unavailable::failed(file.display(), e))
    }

    /// The folder of its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it after [`Self::stop`] or [`Self::kill`], at the same address, with the data it had.
    ///
    /// # Errors
    /// Where it runs already, or does not start.
    pub fn start_again(&mut self) -> Result<(), Unavailable> {
        let status = self.data().join("postmaster.pid");
        self.server.start(|pid| {
            let text = fs::read_to_string(&status).unwrap_or_default();
            let mut lines = text.lines();
            // The file of a server that was killed is still there at first: it has another's id.
            let ours = lines.next() == Some(&pid.to_string());
            ours && lines.nth(6).is_some_and(|line| matches!(line.trim(), "ready" | "standby"))
        })
    }

    /// Ends it in good order; open transactions are rolled back.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn stop(&mut self) -> Result<(), Unavailable> {
        self.server.end(Signal::INT)
    }

    /// Kills it (-9), every process of it.
    ///
    /// # Errors
    /// Where it does not end.
    pub fn kill(&mut self) -> Result<(), Unavailable> {
        self.server.kill()
    }

    /// Lets every process of it stand until the result is dropped.
    ///
    /// # Errors
    /// Where it does not run.
    pub fn freeze(&self) -> Result<Frozen, Unavailable> {
        let not = || Unavailable::Failed("postgres does not run".into());
        self.server.pid().map(Frozen::process).ok_or_else(not)
    }

    /// A second server with a copy of the data and the same options, started: of the state at this moment where
    /// this one runs, of what is on disk where it was stopped or killed.
    ///
    /// # Errors
    /// Where copying fails or the copy does not start.
    pub fn copy(&self) -> Result<Self, Unavailable> {
        let mut other = Self::new(self.options.clone())?;
        if self.server.pid().is_some() {
            run(&mut self.base_backup(&other))?;
        } else {
            run(Command::new("cp").arg("-a").arg(self.data()).arg(other.data()))?;
            let _ = fs::remove_file(other.data().join("postmaster.pid"));
        }
        other.start_again()?;
        Ok(other)
    }

    /// A second server that follows this one by streaming replication, and answers reads, until
    /// [`Self::promote`].
    ///
    /// # Errors
    /// Where this one does not run, or the other does not start.
    pub fn standby(&self) -> Result<Self, Unavailable> {
        let mut other = Self::new(self.options.clone())?;
        run(self.base_backup(&other).arg("--write-recovery-conf"))?;
        other.start_again()?;
        Ok(other)
    }

    fn base_backup(&self, other: &Self) -> Command {
        let mut command = self.program("pg_basebackup");
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        command.arg("-D").arg(other.data()).args(["--checkpoint=fast", "--no-sync", "--wal-method=stream"]);
        command
    }

    /// Makes a standby a server that takes writes; it returns when it does.
    ///
    /// # Errors
    /// Where it is no standby.
    pub fn promote(&self) -> Result<(), Unavailable> {
        self.sql("postgres", "SELECT pg_promote()").map(drop)
    }

    /// Runs SQL in a database; the result has a line for each row, with `|` between columns.
    ///
    /// # Errors
    /// The server's message.
    pub fn sql(&self, database: &str, text: &str) -> Result<String, Unavailable> {
        sql(&self.url(database), text)
    }

    /// A program of the same version, run as the server's user.
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.current_dir(self.folder.path());
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}

/// Runs SQL in the database at `url`, through `psql`; the result has a line for each row, with `|` between columns.
/// Each statement is a transaction of its own.
///
/// # Errors
/// The server's message.
pub fn sql(url: &str, text: &str) -> Result<String, Unavailable> {
    let beside = postgres_programs().map(|dir| dir.join("psql")).ok().filter(|p| p.is_file());
    let missing = Unavailable::Missing { program: "psql", package: "postgresql-client" };
    let psql = beside.or_else(|| on_path("psql")).ok_or(missing)?;
    let mut command = Command::new(psql);
    command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", text]);
    run(&mut command)
}

/// Runs a program to its end and returns what it printed.
fn run(command: &mut Command) -> Result<String, Unavailable> {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().map_err(|e| Unavailable::failed(&program, e))?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr).trim().replace('\n', " | ");
        return Err(Unavailable::failed(program, told));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// A port of loopback that nobody listens on. It lies below those that the kernel gives to clients: none of them
/// may take it while the server is down, nor meet itself there.
fn free_port() -> Result<u16, Unavailable> {
    let random = RandomState::new().hash_one(0);
    let tries =
        (0..2_000).map(|n| 20_000 + u16::try_from((random.wrapping_add(n * 7)) % 12_000).unwrap_or(0));
    let free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    tries.into_iter().find(free).ok_or_else(|| no("no free port"))
}

fn no(what: impl Display) -> Unavailable {
    Unavailable::Failed(what.to_string())
}
