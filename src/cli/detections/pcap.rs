//! The packets of a detection: a capture file out of the folder in which the collector keeps them.

use crate::assemble::{pcap_dir, state_dir};
use anyhow::{Context, Result, bail};
use clap::Args;
use std::io::{ErrorKind, Write};
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(super) struct PcapArguments {
    /// Its id, or the digits with which that begins
    #[arg(value_name = "ID", value_parser = super::id)]
    id: String,
    /// Where to write it [default: ID.pcap here]; `-` is standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where the captures are [default: `signatures.pcap_directory` of the configuration, else `pcaps` in the state directory]
    #[arg(long, value_name = "DIR")]
    from: Option<PathBuf>,
    /// Configuration of the collector
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Copies the capture of a detection.
///
/// # Errors
/// When there is none, or it cannot be written.
pub(super) fn run(p: &PcapArguments) -> Result<()> {
    let folder = match &p.from {
        Some(folder) => folder.clone(),
        None => {
            let config = super::super::load_config(p.config.as_deref())?;
            pcap_dir(&config.signatures, &state_dir(&config))
        }
    };
    let place = folder.display();
    let none = format!(
        "{place} has no capture of {}: packets are kept of detections of rules alone (`signatures.rules`, and signatures.packets_bytes_max above 0), the last signatures.pcaps_max; \
         of any other its flows are (`flowhouse detections show {}`)",
        p.id, p.id
    );
    let entries = match std::fs::read_dir(&folder) {
        Err(e) if e.kind() == ErrorKind::NotFound && p.from.is_none() => bail!(
            "{none}. There is no such folder: if the collector keeps its captures elsewhere, give its configuration with -c, or the folder with --from"
        ),
        entries => entries.with_context(|| {
            format!("{place}: give the configuration of the collector with -c, or the folder with --from")
        })?,
    };
    let mut found = vec![];
    for entry in entries {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        if path.extension().is_some_and(|e| e == "pcap") && name.starts_with(&p.id) {
            found.push(path.clone());
        }
    }
    let file = match &found[..] {
        [file] => file,
        [] => bail!("{none}"),
        _ => bail!(
            "more than one detection begins with {}: give more of its digits",
            p.id
        ),
    };
    let bytes = std::fs::read(file).with_context(|| file.display().to_string())?;
    let out = match &p.out {
        Some(out) if out.as_os_str() == "-" => {
            return Ok(std::io::stdout().lock().write_all(&bytes)?);
        }
        Some(out) => out.clone(),
        None => PathBuf::from(file.file_name().unwrap_or_default()),
    };
    std::fs::write(&out, &bytes).with_context(|| out.display().to_string())?;
    super::super::say(out.display())
}
