//! The data folder: made when it is missing, used by one market at a time, and where to read its address.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

const LOCK_FILE: &str = "lock";
const ADDRESS_FILE: &str = "address";
const DEMO_FILE: &str = "demo";

/// A data folder that this process alone may use. Given back when it is dropped, also by a crash.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

/// Whether the market is a demo, with people whose passwords everybody knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DemoStanding {
    None,
    /// It was being filled; that may have been cut short.
    Begun,
    Filled,
}

impl DemoStanding {
    fn text(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Begun => "begun",
            Self::Filled => "filled",
        }
    }
}

impl Folder {
    /// Makes the folder if it is missing, and takes it.
    /// Errors: another process has it.
    pub fn take(path: &Path) -> Result<Self> {
        make(path)?;
        let file = path.join(LOCK_FILE);
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&file);
        let mut lock = options.with_context(|| format!("cannot open {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // Only for the message: without it the message is shorter.
                let _ = lock.read_to_string(&mut holder);
                bail!("{} is in use by another process {}", path.display(), holder.trim());
            }
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| format!("cannot lock {}", file.display())),
        }
        lock.set_len(0)?;
        writeln!(lock, "({})", std::process::id())?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Tells others on this machine where the market listens.
    pub fn write_address(&self, address: SocketAddr) -> Result<()> {
        let (new, file) = (self.path.join("address.new"), self.path.join(ADDRESS_FILE));
        // Renamed into place: nobody reads half an address.
        std::fs::write(&new, format!("{address}\n")).with_context(|| format!("cannot write {}", new.display()))?;
        std::fs::rename(&new, &file).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Notes how far the market in it has become a demo.
    pub fn note_demo(&self, standing: DemoStanding) -> Result<()> {
        let file = self.path.join(DEMO_FILE);
        std::fs::write(&file, format!("{}\n", standing.text()))
            .with_context(|| format!("cannot write {}", file.display()))
    }

    pub fn demo_standing(&self) -> DemoStanding {
        let text = std::fs::read_to_string(self.path.join(DEMO_FILE)).unwrap_or_default();
        let known = [DemoStanding::Begun, DemoStanding::Filled];
        known.into_iter().find(|standing| standing.text() == text.trim()).unwrap_or(DemoStanding::None)
    }

    pub fn remove_address(&self) {
        let file = self.path.join(ADDRESS_FILE);
        match std::fs::remove_file(&file) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::NotFound => {}
            Err(e) => tracing::warn!(error = %e, "{} could not be removed", file.display()),
        }
    }
}

/// Makes the folder if it is missing, for its owner only: keys and personal data will be in it.
pub fn make(path: &Path) -> Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path).with_context(|| format!("cannot make {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_one_user_at_a_time() {
        let dir = tempfile::tempdir().expect("folder");
        let path = dir.path().join("data");
        let folder = Folder::take(&path).expect("free");
        let refused = Folder::take(&path).err().expect("taken").to_string();
        assert!(refused.contains(&format!("in use by another process ({})", std::process::id())), "{refused}");
        drop(folder);
        Folder::take(&path).expect("free again");
    }

    #[test]
    fn how_far_a_demo_has_come_is_remembered() {
        let dir = tempfile::tempdir().expect("folder");
        let folder = Folder::take(dir.path()).expect("free");
        assert_eq!(folder.demo_standing(), DemoStanding::None);
        for standing in [DemoStanding::Begun, DemoStanding::Filled, DemoStanding::None] {
            folder.note_demo(standing).expect("noted");
            assert_eq!(folder.demo_standing(), standing);
        }
    }

    #[test]
    fn the_address_comes_and_goes() {
        let dir = tempfile::tempdir().expect("folder");
        let folder = Folder::take(dir.path()).expect("free");
        folder.write_address("127.0.0.1:80".parse().expect("address")).expect("written");
        assert_eq!(std::fs::read_to_string(dir.path().join("address")).expect("read"), "127.0.0.1:80\n");
        folder.remove_address();
        folder.remove_address();
        assert!(!dir.path().join("address").exists());
    }
}
