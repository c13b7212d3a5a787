//! The engine library: where it comes from, where it is found, and whether this executable can carry it.

use super::elf;
use super::error::Error;
use super::settings::home_folder;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

/// What `pip download --no-deps` fetches.
pub const REQUIREMENT: &str = "chdb-core==26.9.0";

/// SHA-256 of the wheel (manylinux 2.17, x86_64) that the stubs of `python_stubs.rs` were made for.
///
/// To pin another: put the `sha256sum` of its wheel here and its version above, renew the list in `python_stubs.rs` (its header has the
/// command), and run the tests of this room.
pub const WHEEL_SHA256: &str = "707e2ec3fe0f7953bac97942eaeb7a1ed1d66b1e56ecef3f0aa2130f61f6e735";

/// The library's place below a library folder; its own helper is looked up relative to it.
const LIBRARY: &str = "chdb/_chdb.abi3.so";

/// Finds the engine library: the given path, `$FLOWHOUSE_CHDB_LIB`, `<data>/lib`, the user's cache, the system's places.
pub fn find(given: Option<&Path>, data: &Path) -> Result<PathBuf, Error> {
    let mut looked = Vec::new();
    for place in places(given, data) {
        for path in [place.join(LIBRARY), place.clone()] {
            if path.is_file() {
                return Ok(path);
            }
        }
        looked.push(place.display().to_string());
    }
    Err(Error::LibraryMissing {
        looked: looked.join(", "),
        requirement: REQUIREMENT,
    })
}

/// Where `install` puts the library when no folder is given.
pub fn default_dir() -> PathBuf {
    match nix::unistd::geteuid().is_root() {
        true => PathBuf::from("/var/lib/flowhouse/lib"),
        false => cache_dir(),
    }
}

/// Unpacks the engine library out of a wheel and tells where it is now. A folder that holds it already is left alone.
pub fn install(wheel: Option<&Path>, dir: &Path) -> Result<PathBuf, Error> {
    let target = dir.join(LIBRARY);
    let stamp = dir.join("wheel.sha256");
    if target.is_file()
        && std::fs::read_to_string(&stamp).is_ok_and(|text| text.trim() == WHEEL_SHA256)
    {
        return Ok(target);
    }
    let wheel = match wheel {
        Some(path) => path.to_path_buf(),
        None => find_wheel()?,
    };
    check_hash(&wheel)?;
    let file = std::fs::File::open(&wheel).map_err(Error::file("cannot open", &wheel))?;
    let bad = |error: zip::result::ZipError| {
        Error::Library(format!("cannot read {}: {error}", wheel.display()))
    };
    let mut archive = zip::ZipArchive::new(file).map_err(bad)?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(bad)?;
        let Some(name) = member.enclosed_name() else {
            continue;
        };
        let wanted = name == Path::new(LIBRARY) || name.starts_with("chdb_core.libs");
        if wanted && member.is_file() {
            write_member(&mut member, &dir.join(name))?;
        }
    }
    if !target.is_file() {
        return Err(Error::Library(format!(
            "{} holds no {LIBRARY}",
            wheel.display()
        )));
    }
    std::fs::write(&stamp, format!("{WHEEL_SHA256}\n"))
        .map_err(Error::file("cannot write", &stamp))?;
    Ok(target)
}

/// Refuses a library whose Python symbols this executable does not export: loading it would end the process.
pub fn check_symbols(library: &Path) -> Result<(), Error> {
    let executable = Path::new("/proc/self/exe");
    let exported =
        elf::dynamic_symbols(executable).map_err(Error::file("cannot read", executable))?;
    let needed = elf::dynamic_symbols(library).map_err(Error::file("cannot read", library))?;
    let python = |name: &&String| name.starts_with("Py") || name.starts_with("_Py");
    let missing: Vec<&str> = needed
        .undefined
        .iter()
        .filter(python)
        .filter(|name| !exported.defined.contains(*name))
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let shown = missing
        .iter()
        .take(5)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    Err(Error::Library(format!(
        "{} needs {} symbols that this program does not export ({shown}{}); install the library of {REQUIREMENT}",
        library.display(),
        missing.len(),
        if missing.len() > 5 { ", ..." } else { "" }
    )))
}

fn places(given: Option<&Path>, data: &Path) -> Vec<PathBuf> {
    if let Some(path) = given {
        return vec![path.to_path_buf()];
    }
    if let Some(path) = std::env::var_os("FLOWHOUSE_CHDB_LIB") {
        return vec![PathBuf::from(path)];
    }
    vec![
        data.join("lib"),
        cache_dir(),
        PathBuf::from("/var/lib/flowhouse/lib"),
        PathBuf::from("/usr/lib/flowhouse"),
    ]
}

fn cache_dir() -> PathBuf {
    home_folder("XDG_CACHE_HOME", ".cache").join("flowhouse/lib")
}

/// A wheel in the current folder or below `target/`, where `make` downloads it.
fn find_wheel() -> Result<PathBuf, Error> {
    for folder in [".", "target/wheels"] {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with("chdb_core-") && name.ends_with(".whl") {
                return Ok(entry.path());
            }
        }
    }
    Err(Error::Library(format!(
        "no wheel here; run `pip download --no-deps {REQUIREMENT}` and give the file with --from"
    )))
}

fn check_hash(wheel: &Path) -> Result<(), Error> {
    let mut file = std::fs::File::open(wheel).map_err(Error::file("cannot open", wheel))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file
            .read(&mut buffer)
            .map_err(Error::file("cannot read", wheel))?
        {
            0 => break,
            length => hasher.update(&buffer[..length]),
        }
    }
    let hash = hasher
        .finalize()
        .iter()
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    match hash == WHEEL_SHA256 {
        true => Ok(()),
        false => Err(Error::Library(format!(
            "{} has SHA-256 {hash}, not {WHEEL_SHA256} ({REQUIREMENT}, x86_64)",
            wheel.display()
        ))),
    }
}

/// Writes beside the target, then renames: a library is there whole or not at all.
fn write_member(member: &mut impl Read, target: &Path) -> Result<(), Error> {
    let folder = target.parent().unwrap_or(target);
    std::fs::create_dir_all(folder).map_err(Error::file("cannot create", folder))?;
    let fresh = target.with_extension(format!("new{}", std::process::id()));
    let mut file = std::fs::File::create(&fresh).map_err(Error::file("cannot create", &fresh))?;
    std::io::copy(member, &mut file)
        .and_then(|_| file.flush())
        .map_err(Error::file("cannot write", &fresh))?;
    std::fs::rename(&fresh, target).map_err(Error::file("cannot rename", target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_path_is_the_only_place() {
        let folder = tempfile::tempdir().expect("folder");
        let error = find(Some(&folder.path().join("none")), folder.path()).expect_err("missing");
        assert!(
            error.to_string().contains("flowhouse store install"),
            "{error}"
        );
        let path = folder.path().join(LIBRARY);
        std::fs::create_dir_all(path.parent().expect("parent")).expect("folder");
        std::fs::write(&path, b"x").expect("file");
        assert_eq!(
            find(Some(folder.path()), folder.path()).expect("found"),
            path
        );
        assert_eq!(find(Some(&path), folder.path()).expect("found"), path);
    }

    #[test]
    fn a_strange_wheel_is_refused() {
        let folder = tempfile::tempdir().expect("folder");
        let wheel = folder.path().join("chdb_core-1.whl");
        std::fs::write(&wheel, b"no wheel").expect("file");
        let error = install(Some(&wheel), &folder.path().join("lib")).expect_err("refused");
        assert!(error.to_string().contains("SHA-256"), "{error}");
    }
}
