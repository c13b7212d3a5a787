//! Folders that another account is to work in.

use super::{Account, Error};
use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, umask};
use std::fs::Permissions;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Gives a folder and what is in it to the account, unless it owns the folder already. What belongs to a third account,
/// or has a second name, is not touched: somebody may have put it there to get hold of it.
///
/// # Errors
/// When something in it is not root's, or the file system refuses.
pub fn give(folder: &Path, account: &Account) -> Result<(), Error> {
    let owner = std::fs::metadata(folder)
        .map_err(fault("cannot read", folder))?
        .uid();
    if owner == account.user() {
        return Ok(());
    }
    give_all(folder, account)
}

fn give_all(path: &Path, account: &Account) -> Result<(), Error> {
    let status = std::fs::symlink_metadata(path).map_err(fault("cannot read", path))?;
    let me = nix::unistd::geteuid().as_raw();
    if status.uid() != me && status.uid() != account.user() {
        return Err(Error::Foreign {
            path: path.to_path_buf(),
            owner: status.uid(),
            account: account.name().to_owned(),
        });
    }
    if status.is_dir() {
        let entries = std::fs::read_dir(path).map_err(fault("cannot read", path))?;
        for entry in entries.flatten() {
            give_all(&entry.path(), account)?;
        }
    } else if status.nlink() > 1 {
        return Err(Error::Linked {
            path: path.to_path_buf(),
            links: status.nlink(),
        });
    }
    std::os::unix::fs::lchown(path, Some(account.user()), Some(account.group()))
        .map_err(fault("cannot change the owner of", path))
}

/// From here on what this process makes is not for everybody: folders 0750 and files 0640 at most. It never allows more than before.
pub fn keep_to_group() {
    let before = umask(Mode::from_bits_truncate(NOT_OURS));
    umask(before | Mode::from_bits_truncate(NOT_OURS));
}

/// The same for a folder that is there already and what is in it, as far as it is ours; how many were open to more. What belongs
/// to somebody else and what is behind a symbolic link stay as they are.
pub fn tighten(path: &Path) -> io::Result<usize> {
    // a link or a pipe in its place is not followed, nor waited for
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let opened = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let status = opened.metadata()?;
    let (mode, me) = (status.mode(), nix::unistd::geteuid().as_raw());
    let kind = status.file_type();
    if status.uid() != me || !(kind.is_dir() || kind.is_file()) {
        return Ok(0);
    }
    let mut tightened = 0;
    if mode & NOT_OURS != 0 {
        opened.set_permissions(Permissions::from_mode(mode & 0o7777 & !NOT_OURS))?;
        tightened += 1;
    }
    if kind.is_dir() {
        for entry in std::fs::read_dir(path)? {
            // one that cannot be opened, or is gone by now, keeps nobody else from being closed
            tightened += tighten(&entry?.path()).unwrap_or(0);
        }
    }
    Ok(tightened)
}

/// What the group may not change, and others may not do at all.
const NOT_OURS: u32 = 0o027;

/// Says which folder keeps the current account from `path`, and the cure.
///
/// # Errors
/// When one does.
pub fn check_reach(path: &Path) -> Result<(), Error> {
    for folder in path.ancestors().collect::<Vec<_>>().into_iter().rev() {
        let access = nix::unistd::access(folder, nix::unistd::AccessFlags::X_OK);
        if folder.is_dir() && access.is_err() {
            return Err(Error::Unreachable {
                user: super::account::current_name(),
                folder: folder.to_path_buf(),
                path: path.to_path_buf(),
            });
        }
    }
    Ok(())
}

fn fault<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Error + 'a {
    move |source| Error::File {
        what,
        path: path.to_path_buf(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ours_is_closed_and_what_is_behind_a_link_is_not() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let (inside, outside) = (dir.path().join("state"), dir.path().join("outside"));
        std::fs::create_dir_all(inside.join("deep")).expect("made");
        for (file, mode) in [("open", 0o666), ("key", 0o600), ("deep/open", 0o755)] {
            std::fs::write(inside.join(file), "x").expect("written");
            let mode = Permissions::from_mode(mode);
            std::fs::set_permissions(inside.join(file), mode).expect("its mode");
        }
        std::fs::write(&outside, "x").expect("written");
        std::fs::set_permissions(&outside, Permissions::from_mode(0o666)).expect("its mode");
        std::os::unix::fs::symlink(&outside, inside.join("link")).expect("linked");
        for folder in [&inside, &inside.join("deep")] {
            std::fs::set_permissions(folder, Permissions::from_mode(0o775)).expect("its mode");
        }
        assert_eq!(tighten(&inside).expect("ours"), 4);
        let mode = |p: &str| std::fs::metadata(inside.join(p)).expect("there").mode() & 0o777;
        let modes = ["", "deep", "open", "key", "deep/open", "link"].map(mode);
        assert_eq!(modes, [0o750, 0o750, 0o640, 0o600, 0o750, 0o666]);
        assert_eq!(tighten(&inside).expect("ours"), 0);
    }

    #[test]
    fn what_has_a_second_name_or_another_owner_is_not_given() {
        if !nix::unistd::geteuid().is_root() {
            eprintln!("skipped: only root gives files away");
            return;
        }
        let nobody = Account::named("nobody", None).expect("there is one");
        let dir = tempfile::tempdir().expect("temporary directory");
        let (inside, outside) = (dir.path().join("state"), dir.path().join("precious"));
        std::fs::create_dir(&inside).expect("made");
        std::fs::write(&outside, "x").expect("written");
        std::fs::write(inside.join("own"), "x").expect("written");
        give(&inside, &nobody).expect("all of it is root's");
        let owner = |p: &Path| std::fs::metadata(p).expect("there").uid();
        assert_eq!(owner(&inside.join("own")), nobody.user());

        let other = dir.path().join("other");
        std::fs::create_dir(&other).expect("made");
        std::fs::hard_link(&outside, other.join("link")).expect("linked");
        let error = give(&other, &nobody).expect_err("a second name");
        assert!(matches!(error, Error::Linked { .. }), "{error}");
        assert_eq!(owner(&outside), 0);

        let foreign = dir.path().join("foreign");
        std::fs::create_dir(&foreign).expect("made");
        std::os::unix::fs::chown(&foreign, Some(12_345), None).expect("given");
        let error = give(&foreign, &nobody).expect_err("somebody else's");
        assert!(error.to_string().contains("user 12345"), "{error}");
    }
}
