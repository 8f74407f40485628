//! `hotswap audit export`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use hotswap_api::audit::v1::ExportEventsRequest;
use hotswap_api::audit::v1::export_events_request::Format;

use crate::cli::{AuditExport, ExportForm};
use crate::client::Api;
use crate::exit::{Exit, Failure};
use crate::output;

pub(super) async fn run(args: &AuditExport) -> Result<(), Failure> {
    let api = args.client.connect().await?;
    if args.to == Path::new("-") {
        return receive(&api, args, &mut io::stdout().lock()).await.map(drop);
    }
    let mut file = create(&args.to)?;
    let received = receive(&api, args, &mut file).await;
    let received = received.and_then(|bytes| file.sync_all().map(|()| bytes).map_err(Failure::other));
    if received.is_err() {
        // Half an export proves nothing, and the next try wants the name.
        let _ = fs::remove_file(&args.to);
    }
    output::line(&format!("{}: {} bytes", args.to.display(), received?))
}

/// A new file, readable by nobody else: it tells who did what.
fn create(path: &Path) -> Result<File, Failure> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|e| match e.kind() {
        ErrorKind::AlreadyExists => {
            Failure::new(Exit::Conflict, format!("{} is there already", path.display()))
        }
        _ => Failure::other(format!("can't write {}: {e}", path.display())),
    })
}

async fn receive(api: &Api, args: &AuditExport, out: &mut dyn Write) -> Result<u64, Failure> {
    let csv = args.to.extension().is_some_and(|e| e.eq_ignore_ascii_case("csv"));
    let format = match args.form {
        Some(ExportForm::Csv) => Format::Csv,
        None if csv => Format::Csv,
        Some(ExportForm::Json) | None => Format::Json,
    };
    let (chain, filter) = (args.chain.chain.clone(), args.filter.clone());
    let request = ExportEventsRequest { format: format.into(), chain, filter };
    let mut stream = api.audit.clone().export_events(request).await?.into_inner();
    let mut bytes = 0;
    while let Some(piece) = stream.message().await? {
        out.write_all(&piece.data).map_err(|e| Failure::other(format!("can't write: {e}")))?;
        bytes += piece.data.len() as u64;
    }
    out.flush().map_err(Failure::other)?;
    Ok(bytes)
}
